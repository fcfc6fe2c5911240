#include "services/registry/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <set>
#include <thread>

#include "fmt/format.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/unit/services/registry/registry_fixture.h"

namespace slipway::registry {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const ModelName kModel{"acme", "classifier"};
const DatasetName kDataset{"acme", "pictures"};

class RegistryTest : public RegistryFixture {
 protected:
  absl::StatusOr<v1::ModelVersion> Create(const v1::ModelVersion& version,
                                          const std::string& request_id = "") {
    return registry_->CreateVersion(Of("acme"), kModel, version, request_id);
  }

  std::vector<std::string> Names(const v1::ListModelVersionsResponse& page) {
    std::vector<std::string> names;
    for (const auto& version : page.model_versions()) names.push_back(version.name());
    return names;
  }
};

TEST_F(RegistryTest, MakesAModelOnce) {
  v1::Model model;
  model.set_description("tells shirts from shoes");
  const auto made = registry_->CreateModel(Of("acme"), kModel, model, "");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->name(), "tenants/acme/models/classifier");
  EXPECT_EQ(made->description(), "tells shirts from shoes");
  EXPECT_EQ(made->create_time().seconds(), absl::ToUnixSeconds(clock_.Now()));
  EXPECT_EQ(made->latest_version(), 0);
  EXPECT_TRUE(MessageDifferencer::Equals(*registry_->GetModel(Of("acme"), kModel), *made));

  const absl::Status again = registry_->CreateModel(Of("acme"), kModel, model, "").status();
  EXPECT_EQ(again.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(again.message()), HasSubstr("tenants/acme/models/classifier"));
}

TEST_F(RegistryTest, AVersionMakesItsModelAndCountsFromOne) {
  for (int number = 1; number <= 3; ++number) {
    const auto made = Create(Version());
    ASSERT_TRUE(made.ok()) << made.status();
    EXPECT_EQ(made->name(), fmt::format("tenants/acme/models/classifier/versions/{}", number));
    EXPECT_EQ(registry_->GetModel(Of("acme"), kModel)->latest_version(), number);
  }
}

TEST_F(RegistryTest, KeepsAllThatAVersionSays) {
  v1::ModelVersion version = Version();
  *version.mutable_artifact()->add_files() = File("architecture.json", "{}");
  auto* input = version.mutable_signature()->add_inputs();
  input->set_name("pixels");
  input->set_datatype("FP32");
  input->add_shape(-1);
  input->add_shape(784);
  auto* output = version.mutable_signature()->add_outputs();
  output->set_name("logits");
  output->set_datatype("FP32");
  auto& lineage = *version.mutable_lineage();
  lineage.set_job("tenants/acme/jobs/j1");
  lineage.set_dataset("tenants/acme/datasets/pictures");
  lineage.set_dataset_digest(DigestOfBytes("x").ToString());
  lineage.set_code_version("0.1.0");
  lineage.set_seed(-7);
  (*version.mutable_metrics())["accuracy"] = 0.9125;
  (*version.mutable_metrics())["loss"] = 1e-300;
  version.set_description("the first");
  version.add_labels("T-shirt");
  version.add_labels("Sn\u00f6 boots");

  const auto made = Create(version);
  ASSERT_TRUE(made.ok()) << made.status();
  v1::ModelVersion expected = version;
  expected.set_name("tenants/acme/models/classifier/versions/1");
  *expected.mutable_create_time() = made->create_time();
  expected.set_origin(v1::ModelVersion::UPLOADED);
  expected.mutable_artifact()->mutable_files(0)->set_size_bytes(7);
  expected.mutable_artifact()->mutable_files(1)->set_size_bytes(2);
  // sha256("sha256:<{}> architecture.json\nsha256:<weights> model.safetensors\n"), the lines
  // sorted.
  expected.mutable_artifact()->set_digest(
      "sha256:" +
      Sha256Hex(fmt::format("{} architecture.json\n{} model.safetensors\n",
                            DigestOfBytes("{}").ToString(), DigestOfBytes("weights").ToString())));
  EXPECT_TRUE(MessageDifferencer::Equals(*made, expected)) << made->DebugString();

  Restart();
  const auto got = registry_->GetVersion(Of("acme"), VersionName{kModel, 1});
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*got, *made));
}

TEST_F(RegistryTest, SaysWhoVouchesForAVersionWhateverItsCallerWrote) {
  Principal training = Of("acme");
  training.caller = ServiceId::kTraining;
  Principal operators = Of("acme");
  operators.role = Role::kOperator;
  v1::ModelVersion version = Version();
  version.set_origin(v1::ModelVersion::TRAINED);
  const auto origin = [&](const Principal& who) {
    return registry_->CreateVersion(who, kModel, version, "").value().origin();
  };
  EXPECT_EQ(origin(Of("acme")), v1::ModelVersion::UPLOADED);
  EXPECT_EQ(origin(training), v1::ModelVersion::TRAINED);
  EXPECT_EQ(origin(operators), v1::ModelVersion::IMPORTED);
}

TEST_F(RegistryTest, NumbersHaveNoHolesWhateverHappensAtTheSameTime) {
  constexpr int kThreads = 6;
  constexpr int kEach = 5;
  const v1::ModelVersion good = Version();
  v1::ModelVersion bad = good;
  bad.mutable_artifact()->mutable_files(0)->set_digest(DigestOfBytes("absent").ToString());
  Mutex mutex;
  std::set<std::string> names;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&] {
        for (int i = 0; i < kEach; ++i) {
          EXPECT_FALSE(Create(bad).ok());
          absl::StatusOr<v1::ModelVersion> made = Create(good);
          while (absl::IsUnavailable(made.status())) made = Create(good);
          ASSERT_TRUE(made.ok()) << made.status();
          MutexLock lock(mutex);
          EXPECT_TRUE(names.insert(made->name()).second) << made->name() << " was given twice";
        }
      });
    }
  }
  for (int number = 1; number <= kThreads * kEach; ++number) {
    EXPECT_TRUE(names.contains(VersionName{kModel, number}.ToString())) << number;
  }
  EXPECT_EQ(registry_->GetModel(Of("acme"), kModel)->latest_version(), kThreads * kEach);
}

TEST_F(RegistryTest, RefusesAVersionWhoseBlobIsAbsentOrAnotherTenants) {
  v1::ModelVersion version = Version();
  auto* file = version.mutable_artifact()->add_files();
  file->set_path("extra.bin");
  file->set_digest(DigestOfBytes("never uploaded").ToString());
  EXPECT_EQ(FieldOf(Create(version).status()), "model_version.artifact.files[1].digest");

  *file = File("extra.bin", "of globex", "globex");
  EXPECT_EQ(FieldOf(Create(version).status()), "model_version.artifact.files[1].digest");
  EXPECT_EQ(registry_->GetModel(Of("acme"), kModel).status().code(), absl::StatusCode::kNotFound)
      << "a refused version leaves no model";
}

TEST_F(RegistryTest, RefusesASizeOrDigestThatDiffers) {
  v1::ModelVersion version = Version();
  version.mutable_artifact()->mutable_files(0)->set_size_bytes(8);
  EXPECT_EQ(FieldOf(Create(version).status()), "model_version.artifact.files[0].size_bytes");
  version.mutable_artifact()->mutable_files(0)->set_size_bytes(7);
  version.mutable_artifact()->set_digest(DigestOfBytes("other").ToString());
  EXPECT_EQ(FieldOf(Create(version).status()), "model_version.artifact.digest");
  version.mutable_artifact()->clear_digest();
  const auto made = Create(version);
  ASSERT_TRUE(made.ok()) << made.status();
  version.mutable_artifact()->set_digest(made->artifact().digest());
  EXPECT_TRUE(Create(version).ok());
}

TEST_F(RegistryTest, NamesTheFieldOfEachMistakeInAVersion) {
  const v1::ModelVersion good = Version();
  const auto path = [](const std::string& path) {
    return [path](v1::ModelVersion& v) { v.mutable_artifact()->mutable_files(0)->set_path(path); };
  };
  const auto again = [](const std::string& path) {
    return [path](v1::ModelVersion& v) {
      *v.mutable_artifact()->add_files() = v.artifact().files(0);
      v.mutable_artifact()->mutable_files(1)->set_path(path);
    };
  };
  const auto input = [](const std::function<void(v1::TensorSpec&)>& change) {
    return [change](v1::ModelVersion& v) {
      auto& tensor = *v.mutable_signature()->add_inputs();
      tensor.set_name("x");
      tensor.set_datatype("FP32");
      change(tensor);
    };
  };
  const auto state = [](const std::string& from, const std::string& to) {
    return [from, to](v1::ModelVersion& v) {
      auto& added = *v.mutable_signature()->add_states();
      added.set_input(from);
      added.set_output(to);
    };
  };
  const std::string file = "model_version.artifact.files[0].";
  const std::pair<std::function<void(v1::ModelVersion&)>, std::string> mistakes[] = {
      {[](auto& v) { v.clear_artifact(); }, "model_version.artifact.format"},
      {[](auto& v) { v.mutable_artifact()->set_format("No Format"); },
       "model_version.artifact.format"},
      {[](auto& v) { v.mutable_artifact()->clear_files(); }, "model_version.artifact.files"},
      {path(""), file + "path"},
      {path("/etc/passwd"), file + "path"},
      {path("a//b"), file + "path"},
      {path("a/"), file + "path"},
      {path("./a"), file + "path"},
      {path("a/../../b"), file + "path"},
      {path("a\\b"), file + "path"},
      {path("a\nb"), file + "path"},
      {path(std::string("a\0b", 3)), file + "path"},
      {path(std::string(513, 'a')), file + "path"},
      {again("model.safetensors"), "model_version.artifact.files[1].path"},
      {again("model.safetensors/part"), "model_version.artifact.files[1].path"},
      {[](auto& v) { v.mutable_artifact()->mutable_files(0)->set_digest("sha256:12"); },
       file + "digest"},
      {[](auto& v) { v.mutable_artifact()->mutable_files(0)->clear_digest(); }, file + "digest"},
      {[](auto& v) { v.mutable_artifact()->mutable_files(0)->set_size_bytes(-1); },
       file + "size_bytes"},
      {input([](auto& t) { t.clear_name(); }), "model_version.signature.inputs[0].name"},
      {input([](auto& t) { t.set_datatype("FLOAT"); }),
       "model_version.signature.inputs[0].datatype"},
      {input([](auto& t) { t.add_shape(-2); }), "model_version.signature.inputs[0].shape"},
      {input([](auto& t) {
         for (int i = 0; i < 17; ++i) t.add_shape(1);
       }),
       "model_version.signature.inputs[0].shape"},
      {[&](auto& v) {
         input([](auto&) {})(v);
         input([](auto&) {})(v);
       },
       "model_version.signature.inputs[1].name"},
      {state("", "new_h"), "model_version.signature.states[0].input"},
      {state("h", std::string(257, 'a')), "model_version.signature.states[0].output"},
      {[&](auto& v) {
         state("h", "new_h")(v);
         state("c", "new_h")(v);
       },
       "model_version.signature.states[1].output"},
      {[&](auto& v) {
         for (int i = 0; i < 1000; ++i) state(std::to_string(i), std::to_string(i))(v);
       },
       "model_version.signature.states"},
      {[](auto& v) { v.mutable_lineage()->set_job("jobs/j1"); }, "model_version.lineage.job"},
      {[](auto& v) { v.mutable_lineage()->set_job("tenants/globex/jobs/j1"); },
       "model_version.lineage.job"},
      {[](auto& v) { v.mutable_lineage()->set_base_version("tenants/globex/models/m/versions/1"); },
       "model_version.lineage.base_version"},
      {[](auto& v) { v.mutable_lineage()->set_dataset_digest("none"); },
       "model_version.lineage.dataset_digest"},
      {[](auto& v) { (*v.mutable_metrics())["loss"] = std::numeric_limits<double>::quiet_NaN(); },
       "model_version.metrics.loss"},
      {[](auto& v) { (*v.mutable_metrics())["loss"] = std::numeric_limits<double>::infinity(); },
       "model_version.metrics.loss"},
      {[](auto& v) { (*v.mutable_metrics())[""] = 1; }, "model_version.metrics"},
      {[](auto& v) { v.set_description(std::string(4097, 'a')); }, "model_version.description"},
      {[](auto& v) { v.set_description(std::string("a\0b", 3)); }, "model_version.description"},
      {[](auto& v) { v.add_labels(std::string(257, 'a')); }, "model_version.labels[0]"},
  };
  for (const auto& [change, field] : mistakes) {
    v1::ModelVersion version = good;
    change(version);
    const absl::Status refused = Create(version).status();
    EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument) << field << ": " << refused;
    EXPECT_EQ(FieldOf(refused), field) << refused;
  }
  EXPECT_EQ(Create(good)->name(), "tenants/acme/models/classifier/versions/1");
}

TEST_F(RegistryTest, TheSameRequestIdAnswersWhatTheFirstCallAnswered) {
  const v1::ModelVersion version = Version();
  const auto first = Create(version, "job-1");
  ASSERT_TRUE(first.ok()) << first.status();
  clock_.Advance(absl::Hours(1));
  ASSERT_TRUE(Create(version).ok());
  Restart();
  const auto again = Create(version, "job-1");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*again, *first));
  EXPECT_EQ(registry_->GetModel(Of("acme"), kModel)->latest_version(), 2);

  const auto dataset = registry_->CreateDataset(Of("acme"), kDataset, Dataset(), "upload-1");
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  ASSERT_TRUE(registry_->DeleteDataset(Of("acme"), kDataset).ok());
  const auto repeated = registry_->CreateDataset(Of("acme"), kDataset, Dataset(), "upload-1");
  ASSERT_TRUE(repeated.ok()) << repeated.status();
  EXPECT_TRUE(MessageDifferencer::Equals(*repeated, *dataset));
  EXPECT_EQ(registry_->GetDataset(Of("acme"), kDataset).status().code(),
            absl::StatusCode::kNotFound)
      << "a late repetition brings nothing back";
}

TEST_F(RegistryTest, AnotherRequestUnderAUsedIdIsRefusedByTheIdsName) {
  v1::ModelVersion version = Version();
  ASSERT_TRUE(Create(version, "id-1").ok());
  version.set_description("changed");
  const absl::Status changed = Create(version, "id-1").status();
  EXPECT_EQ(changed.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(changed.message()), HasSubstr("request_id"));
  EXPECT_EQ(registry_->CreateModel(Of("acme"), {"acme", "other"}, {}, "id-1").status().code(),
            absl::StatusCode::kAlreadyExists);
  // Another tenant's ids are its own.
  EXPECT_TRUE(registry_->CreateModel(Of("globex"), {"globex", "other"}, {}, "id-1").ok());
}

TEST_F(RegistryTest, ARefusedCreateDoesNotUseItsRequestIdUp) {
  v1::ModelVersion version = Version();
  version.mutable_artifact()->mutable_files(0)->set_digest(DigestOfBytes("late").ToString());
  EXPECT_FALSE(Create(version, "id-1").ok());
  File("late", "late");
  EXPECT_TRUE(Create(version, "id-1").ok());
}

TEST_F(RegistryTest, ManyCallsWithOneRequestIdMakeOneVersion) {
  const v1::ModelVersion version = Version();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 12; ++i) {
      threads.emplace_back([&] {
        absl::StatusOr<v1::ModelVersion> made = Create(version, "id-1");
        while (absl::IsUnavailable(made.status())) made = Create(version, "id-1");
        ASSERT_TRUE(made.ok()) << made.status();
        EXPECT_EQ(made->name(), "tenants/acme/models/classifier/versions/1");
      });
    }
  }
  EXPECT_EQ(registry_->GetModel(Of("acme"), kModel)->latest_version(), 1);
}

TEST_F(RegistryTest, RefusesARequestIdThatIsNone) {
  for (const std::string& id :
       {std::string(257, 'a'), std::string("a b"), std::string("a\n"), std::string("\u00e9")}) {
    EXPECT_EQ(FieldOf(Create(Version(), id).status()), "request_id") << id;
  }
}

TEST_F(RegistryTest, AnAliasMovesFromVersionToVersion) {
  ASSERT_TRUE(Create(Version("one")).ok());
  ASSERT_TRUE(Create(Version("two")).ok());
  const AliasName live{kModel, "live"};
  EXPECT_EQ(registry_->GetVersion(Of("acme"), live).status().code(), absl::StatusCode::kNotFound);
  for (const int number : {1, 2, 1}) {
    const auto set = registry_->SetAlias(Of("acme"), live, {kModel, number});
    ASSERT_TRUE(set.ok()) << set.status();
    EXPECT_EQ(set->version(), (VersionName{kModel, number}.ToString()));
    EXPECT_EQ(registry_->GetVersion(Of("acme"), live)->name(), set->version());
  }
  ASSERT_TRUE(registry_->SetAlias(Of("acme"), {kModel, "canary"}, {kModel, 2}).ok());
  const auto aliases = registry_->ListAliases(Of("acme"), kModel, {});
  ASSERT_EQ(aliases->aliases_size(), 2);
  EXPECT_EQ(aliases->aliases(0).name(), "tenants/acme/models/classifier/aliases/canary");
  EXPECT_EQ(aliases->aliases(1).name(), "tenants/acme/models/classifier/aliases/live");

  ASSERT_TRUE(registry_->DeleteAlias(Of("acme"), live).ok());
  EXPECT_EQ(registry_->DeleteAlias(Of("acme"), live).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(registry_->GetVersion(Of("acme"), live).status().code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(registry_->GetVersion(Of("acme"), VersionName{kModel, 1}).ok());
}

TEST_F(RegistryTest, AnAliasPointsAtAnExistingVersionOfItsOwnModel) {
  ASSERT_TRUE(Create(Version()).ok());
  const AliasName live{kModel, "live"};
  EXPECT_EQ(FieldOf(registry_->SetAlias(Of("acme"), live, {kModel, 2}).status()), "alias.version");
  const ModelName other{"acme", "other"};
  ASSERT_TRUE(registry_->CreateVersion(Of("acme"), other, Version(), "").ok());
  EXPECT_EQ(FieldOf(registry_->SetAlias(Of("acme"), live, {other, 1}).status()), "alias.version");
}

TEST_F(RegistryTest, ADatasetIsKeptUntilItIsDeleted) {
  v1::Dataset dataset = Dataset("some rows");
  *dataset.add_files() = File("labels/test.csv", "labels");
  dataset.set_description("pictures of clothes");
  const auto made = registry_->CreateDataset(Of("acme"), kDataset, dataset, "");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->name(), "tenants/acme/datasets/pictures");
  EXPECT_EQ(made->size_bytes(), 15);
  EXPECT_EQ(made->files(0).size_bytes(), 9);
  EXPECT_TRUE(made->digest().starts_with("sha256:"));
  Restart();
  EXPECT_TRUE(MessageDifferencer::Equals(*registry_->GetDataset(Of("acme"), kDataset), *made));
  EXPECT_EQ(registry_->CreateDataset(Of("acme"), kDataset, dataset, "").status().code(),
            absl::StatusCode::kAlreadyExists);

  ASSERT_TRUE(registry_->DeleteDataset(Of("acme"), kDataset).ok());
  EXPECT_EQ(registry_->DeleteDataset(Of("acme"), kDataset).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(registry_->CreateDataset(Of("acme"), kDataset, dataset, "").ok());

  dataset.set_digest(DigestOfBytes("no").ToString());
  EXPECT_EQ(FieldOf(registry_->CreateDataset(Of("acme"), {"acme", "b"}, dataset, "").status()),
            "dataset.digest");
  dataset.clear_files();
  EXPECT_EQ(FieldOf(registry_->CreateDataset(Of("acme"), {"acme", "b"}, dataset, "").status()),
            "dataset.files");
}

TEST_F(RegistryTest, DatasetsThatAreFilesAreListedByTheirPurpose) {
  v1::Dataset file = Dataset();
  while (file.files_size() > 1) file.mutable_files()->RemoveLast();
  file.mutable_files(0)->set_path("lines.jsonl");
  const auto make = [&](const char* id, const std::string& purpose) {
    file.set_purpose(purpose);
    return registry_->CreateDataset(Of("acme"), {"acme", id}, file, "").status();
  };
  for (const char* id : {"a", "c", "e"}) ASSERT_TRUE(make(id, "batch").ok());
  ASSERT_TRUE(make("b", "batch_output").ok());
  ASSERT_TRUE(make("d", "").ok());
  EXPECT_EQ(FieldOf(make("f", "not a purpose")), "dataset.purpose");
  file.mutable_files(0)->set_path("folder/lines.jsonl");
  EXPECT_EQ(FieldOf(make("f", "batch")), "dataset.purpose");

  const auto list = [&](const DatasetQuery& query, const PageRequest& page = {}) {
    const auto listed = registry_->ListDatasets(Of("acme"), {"acme"}, page, query);
    EXPECT_TRUE(listed.ok()) << listed.status();
    std::string ids;
    for (const v1::Dataset& dataset : listed->datasets()) ids += dataset.name().back();
    return ids;
  };
  EXPECT_EQ(list({}), "abcde");
  EXPECT_EQ(list({.purpose = "*"}), "abce");
  EXPECT_EQ(list({.descending = true, .purpose = "batch"}), "eca");
  EXPECT_EQ(list({.after = "c", .purpose = "*"}), "e");
  EXPECT_EQ(list({.after = "d", .descending = true}), "cba");
  const auto first =
      registry_->ListDatasets(Of("acme"), {"acme"}, {2, ""}, {.descending = true, .purpose = "*"});
  EXPECT_EQ(list({.descending = true, .purpose = "*"}, {2, first->next_page_token()}), "ba");
  EXPECT_EQ(
      FieldOf(
          registry_->ListDatasets(Of("acme"), {"acme"}, {}, {.after = std::string(1, 0)}).status()),
      "after");
}

TEST_F(RegistryTest, ListsComeInPagesThatHoldEachObjectOnce) {
  for (const char* id : {"e", "a", "d", "b", "c"}) {
    ASSERT_TRUE(registry_->CreateModel(Of("acme"), {"acme", id}, {}, "").ok());
    ASSERT_TRUE(registry_->CreateDataset(Of("acme"), {"acme", id}, Dataset(), "").ok());
    ASSERT_TRUE(Create(Version()).ok());
    ASSERT_TRUE(registry_->SetAlias(Of("acme"), {kModel, id}, {kModel, 1}).ok());
  }
  ASSERT_TRUE(registry_->CreateModel(Of("globex"), {"globex", "z"}, {}, "").ok());

  // `list` fetches one page; `names` collects what all pages hold.
  const auto all = [&](const auto& list, const auto& names) {
    std::vector<std::string> found;
    PageRequest request{2, ""};
    for (int pages = 0; pages < 10; ++pages) {
      const auto page = list(request);
      EXPECT_TRUE(page.ok()) << page.status();
      if (!page.ok()) break;
      for (const auto& object : names(*page)) {
        found.push_back(object.name().substr(object.name().rfind('/') + 1));
      }
      request.token = page->next_page_token();
      if (request.token.empty()) break;
    }
    return found;
  };
  EXPECT_THAT(
      all([&](const PageRequest& r) { return registry_->ListModels(Of("acme"), {"acme"}, r); },
          [](const auto& page) { return page.models(); }),
      ElementsAre("a", "b", "c", "classifier", "d", "e"));
  EXPECT_THAT(
      all([&](const PageRequest& r) { return registry_->ListDatasets(Of("acme"), {"acme"}, r); },
          [](const auto& page) { return page.datasets(); }),
      ElementsAre("a", "b", "c", "d", "e"));
  EXPECT_THAT(
      all([&](const PageRequest& r) { return registry_->ListVersions(Of("acme"), kModel, r); },
          [](const auto& page) { return page.model_versions(); }),
      ElementsAre("5", "4", "3", "2", "1"));
  EXPECT_THAT(
      all([&](const PageRequest& r) { return registry_->ListAliases(Of("acme"), kModel, r); },
          [](const auto& page) { return page.aliases(); }),
      ElementsAre("a", "b", "c", "d", "e"));
}

TEST_F(RegistryTest, APageHoldsFiftyUnlessAskedAndAThousandAtMost) {
  ASSERT_TRUE(store_
                  ->Write([](RegistryTransaction& tx) -> absl::Status {
                    for (int i = 0; i < 1001; ++i) {
                      RETURN_IF_ERROR(tx.InsertModel({"acme", fmt::format("m{:04}", i)}, {}));
                    }
                    return absl::OkStatus();
                  })
                  .ok());
  const auto size = [&](int asked) {
    return registry_->ListModels(Of("acme"), {"acme"}, {asked, ""})->models_size();
  };
  EXPECT_EQ(size(0), 50);
  EXPECT_EQ(size(7), 7);
  EXPECT_EQ(size(1'000'000), 1000);
  EXPECT_EQ(FieldOf(registry_->ListModels(Of("acme"), {"acme"}, {-1, ""}).status()), "page_size");
}

TEST_F(RegistryTest, RefusesAPageTokenThatIsNotOfTheList) {
  ASSERT_TRUE(Create(Version()).ok());
  ASSERT_TRUE(Create(Version()).ok());
  const std::string token = registry_->ListVersions(Of("acme"), kModel, {1, ""})->next_page_token();
  ASSERT_FALSE(token.empty());
  EXPECT_TRUE(registry_->ListVersions(Of("acme"), kModel, {1, token}).ok());
  EXPECT_EQ(FieldOf(registry_->ListModels(Of("acme"), {"acme"}, {1, token}).status()),
            "page_token");
  for (const std::string& wrong :
       {std::string("x"), std::string("%%%"), token + "AA",
        MakePageToken("tenants/acme/models/classifier/versions", "not-a-number"),
        MakePageToken("tenants/acme/models/classifier/versions", "")}) {
    EXPECT_EQ(FieldOf(registry_->ListVersions(Of("acme"), kModel, {1, wrong}).status()),
              "page_token")
        << wrong;
  }
}

TEST_F(RegistryTest, ListsOfAModelThatIsAbsentAreNotFound) {
  EXPECT_EQ(registry_->ListVersions(Of("acme"), kModel, {}).status(), NotFound(kModel.ToString()));
  EXPECT_EQ(registry_->ListAliases(Of("acme"), kModel, {}).status(), NotFound(kModel.ToString()));
}

// Each call, once on another tenant's objects and once where there is nothing.
TEST_F(RegistryTest, AnotherTenantsObjectsAnswerInTheWordsOfAbsentOnes) {
  const AliasName live{kModel, "live"};
  const VersionName version{kModel, 1};
  const auto calls = [&](const Principal& who) {
    return std::vector<std::pair<std::string, absl::Status>>{
        {"GetModel", registry_->GetModel(who, kModel).status()},
        {"GetVersion", registry_->GetVersion(who, version).status()},
        {"GetVersion by alias", registry_->GetVersion(who, live).status()},
        {"ListVersions", registry_->ListVersions(who, kModel, {}).status()},
        {"ListAliases", registry_->ListAliases(who, kModel, {}).status()},
        {"GetDataset", registry_->GetDataset(who, kDataset).status()},
        {"DeleteDataset", registry_->DeleteDataset(who, kDataset)},
        {"DeleteAlias", registry_->DeleteAlias(who, live)},
    };
  };
  const auto absent = calls(Of("acme"));
  ASSERT_TRUE(Create(Version()).ok());
  ASSERT_TRUE(registry_->SetAlias(Of("acme"), live, version).ok());
  ASSERT_TRUE(registry_->CreateDataset(Of("acme"), kDataset, Dataset(), "").ok());
  const auto foreign = calls(Of("globex"));
  const auto nobody = calls(Principal{});
  for (size_t i = 0; i < absent.size(); ++i) {
    EXPECT_EQ(absent[i].second.code(), absl::StatusCode::kNotFound) << absent[i].first;
    EXPECT_EQ(foreign[i].second, absent[i].second) << absent[i].first;
    EXPECT_EQ(nobody[i].second, absent[i].second) << absent[i].first;
  }
  const Principal globex = Of("globex");
  for (const absl::Status& refused :
       {registry_->CreateModel(globex, {"acme", "mine"}, {}, "").status(),
        registry_->CreateVersion(globex, kModel, Version(), "").status(),
        registry_->SetAlias(globex, live, version).status(),
        registry_->CreateDataset(globex, {"acme", "mine"}, Dataset(), "").status(),
        registry_->ListModels(globex, {"acme"}, {}).status(),
        registry_->ListDatasets(globex, {"acme"}, {}).status()}) {
    EXPECT_EQ(refused.code(), absl::StatusCode::kNotFound) << refused;
  }
  // All of it is still there, and the operator sees it.
  Principal staff;
  staff.role = Role::kOperator;
  for (const auto& [call, status] : calls(staff)) EXPECT_TRUE(status.ok()) << call << status;
}

}  // namespace
}  // namespace slipway::registry
