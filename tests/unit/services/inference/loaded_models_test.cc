#include "services/inference/loaded_models.h"

#include <filesystem>
#include <fstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/inference/fakes.h"

namespace slipway::worker {
namespace {

using ::testing::HasSubstr;
using State = ModelReport::State;

constexpr char kShoes[] = "tenants/acme/deployments/shoes";
constexpr char kVersion1[] = "tenants/acme/models/cnn/versions/1";
constexpr char kVersion2[] = "tenants/acme/models/cnn/versions/2";

Principal Caller(const std::string& tenant) {
  Principal who;
  who.tenant = tenant;
  who.role = Role::kCaller;
  who.caller = ServiceId::kGateway;
  return who;
}

class LoadedModelsTest : public testing::Test {
 protected:
  LoadedModelsTest() {
    auto cache = BlobCache::Open({.folder = dir_ / "blobs"}, source_);
    EXPECT_TRUE(cache.ok());
    cache_ = std::make_unique<BlobCache>(*std::move(cache));
    models_ = std::make_unique<LoadedModels>(*cache_, runtime_, metrics_);
  }
  ~LoadedModelsTest() override {
    runtime_.load_gate.Open();
    runtime_.run_gate.Open();
  }

  absl::Status Load(const slipway::registry::v1::ModelVersion& version) {
    return models_->Load(kShoes, version, "token").status();
  }
  // Until the version has left LOADING.
  ModelReport Await(std::string_view version) {
    for (;;) {
      for (const ModelReport& report : models_->List()) {
        if (report.version.ToString() == version && report.state != State::kLoading) return report;
      }
      std::this_thread::yield();
    }
  }
  ModelReport LoadAndAwait(const slipway::registry::v1::ModelVersion& version) {
    EXPECT_TRUE(Load(version).ok());
    return Await(version.name());
  }
  static float Run(const ModelHandle& handle) {
    const float row[2] = {1, 2};
    const Tensor input =
        *Tensor::Make("x", DataType::kFp32, {1, 2},
                      Buffer::Borrow({reinterpret_cast<const char*>(row), sizeof(row)}), "x");
    const TensorBatch outputs = *handle->model->Run({input}, absl::InfiniteFuture());
    float sum = 0;
    std::memcpy(&sum, outputs[0].data().data(), sizeof(sum));
    return sum;
  }

  TempDir dir_;
  FakeBlobSource source_;
  FakeRuntime runtime_;
  Metrics metrics_{"worker"};
  std::unique_ptr<BlobCache> cache_;
  std::unique_ptr<LoadedModels> models_;
  const Principal acme_ = Caller("acme");
};

TEST_F(LoadedModelsTest, LoadsWarmsUpAndAnswers) {
  const ModelReport report = LoadAndAwait(FakeVersion(source_, 1, "10"));
  EXPECT_EQ(report.state, State::kReady) << report.error;
  EXPECT_EQ(report.memory_bytes, 1000);
  EXPECT_EQ(runtime_.runs, LoadedModels::kWarmUpRuns);
  EXPECT_EQ(source_.last_token(), "token");
  const auto handle = models_->Find(acme_, kShoes, "");
  ASSERT_TRUE(handle.ok()) << handle.status();
  EXPECT_EQ(Run(*handle), 13);
}

TEST_F(LoadedModelsTest, LoadAnswersAtOnceAndOnceOnly) {
  runtime_.load_gate.Close();
  const auto version = FakeVersion(source_, 1, "10");
  const auto first = models_->Load(kShoes, version, "token");
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(first->state, State::kLoading);
  runtime_.load_gate.AwaitWaiting(1);
  ASSERT_TRUE(Load(version).ok());
  EXPECT_EQ(models_->List().size(), 1u);
  const auto early = models_->Find(acme_, kShoes, "");
  EXPECT_TRUE(absl::IsUnavailable(early.status())) << early.status();
  runtime_.load_gate.Open();
  EXPECT_EQ(Await(kVersion1).state, State::kReady);
  EXPECT_EQ(models_->Load(kShoes, version, "token")->state, State::kReady);
  EXPECT_EQ(runtime_.runs, LoadedModels::kWarmUpRuns);
}

TEST_F(LoadedModelsTest, FindsByNumberByNameAndTheNewestByDefault) {
  LoadAndAwait(FakeVersion(source_, 2, "200"));
  LoadAndAwait(FakeVersion(source_, 1, "100"));
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, "")), 103);
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, "2")), 203);
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, kVersion2)), 203);
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, kVersion1)), 103);
  for (const char* absent : {"3", "02", "tenants/acme/models/other/versions/1", "x"}) {
    EXPECT_TRUE(absl::IsNotFound(models_->Find(acme_, kShoes, absent).status())) << absent;
  }
}

TEST_F(LoadedModelsTest, AnotherTenantsModelReadsLikeAnAbsentOne) {
  LoadAndAwait(FakeVersion(source_, 1, "1"));
  const absl::Status theirs = models_->Find(Caller("other"), kShoes, "").status();
  models_->Unload(kShoes, kVersion1).IgnoreError();
  const absl::Status absent = models_->Find(acme_, kShoes, "").status();
  EXPECT_TRUE(absl::IsNotFound(theirs));
  EXPECT_EQ(theirs, absent);
  // Also while it loads or has failed.
  runtime_.load_gate.Close();
  ASSERT_TRUE(Load(FakeVersion(source_, 1, "1")).ok());
  EXPECT_EQ(models_->Find(Caller("other"), kShoes, "").status(), absent);
}

TEST_F(LoadedModelsTest, ALoadThatFailsLeavesTheOldVersionServingAndSaysWhy) {
  LoadAndAwait(FakeVersion(source_, 1, "10"));
  const ModelReport report = LoadAndAwait(FakeVersion(source_, 2, "no number"));
  EXPECT_EQ(report.state, State::kFailed);
  EXPECT_EQ(report.error, "bias: is no number");
  EXPECT_EQ(Run(*models_->Find(acme_, kShoes, "")), 13);
  const absl::Status failed = models_->Find(acme_, kShoes, "2").status();
  EXPECT_TRUE(absl::IsUnavailable(failed));
  EXPECT_THAT(std::string(failed.message()), HasSubstr("bias: is no number"));
}

TEST_F(LoadedModelsTest, AWrongDigestFailsTheLoadNamingTheFile) {
  auto version = FakeVersion(source_, 1, "10");
  source_.Spoil(version.artifact().files(0).digest(), "11");
  const ModelReport report = LoadAndAwait(version);
  EXPECT_EQ(report.state, State::kFailed);
  EXPECT_THAT(report.error, HasSubstr("bias: "));
  EXPECT_THAT(report.error, HasSubstr("digest"));
}

TEST_F(LoadedModelsTest, AFailedVersionIsTriedAgainWhenAskedTo) {
  auto version = FakeVersion(source_, 1, "10");
  const std::string digest = version.artifact().files(0).digest();
  source_.Spoil(digest, "11");
  EXPECT_EQ(LoadAndAwait(version).state, State::kFailed);
  source_.Spoil(digest, "10");
  EXPECT_EQ(LoadAndAwait(version).state, State::kReady);
}

TEST_F(LoadedModelsTest, ASignatureThatDiffersFromTheRegistrysFailsTheLoad) {
  auto version = FakeVersion(source_, 1, "10");
  version.mutable_signature()->mutable_inputs(0)->set_shape(1, 3);
  const ModelReport report = LoadAndAwait(version);
  EXPECT_EQ(report.state, State::kFailed);
  EXPECT_EQ(report.error,
            "inputs[0] was registered as x FP32 [-1, 3], the version's files say x FP32 [-1, 2]");
}

TEST_F(LoadedModelsTest, UnloadLetsCallsInFlightFinishAndFreesWithTheLastOne) {
  LoadAndAwait(FakeVersion(source_, 1, "10"));
  std::optional<ModelHandle> in_flight = *models_->Find(acme_, kShoes, "");
  ASSERT_TRUE(models_->Unload(kShoes, kVersion1).ok());
  EXPECT_TRUE(absl::IsNotFound(models_->Find(acme_, kShoes, "").status()));
  EXPECT_EQ(Run(*in_flight), 13);
  ASSERT_EQ(models_->List().size(), 1u);
  EXPECT_EQ(models_->List()[0].state, State::kUnloading);
  EXPECT_FALSE(runtime_.newest.expired());
  in_flight.reset();
  EXPECT_TRUE(runtime_.newest.expired());
  EXPECT_TRUE(models_->List().empty());
}

TEST_F(LoadedModelsTest, UnloadGivesALoadUp) {
  runtime_.load_gate.Close();
  ASSERT_TRUE(Load(FakeVersion(source_, 1, "10")).ok());
  runtime_.load_gate.AwaitWaiting(1);
  ASSERT_TRUE(models_->Unload(kShoes, kVersion1).ok());
  EXPECT_TRUE(models_->List().empty());
  runtime_.load_gate.Open();
  // The next load of it starts anew and is not mistaken for the one given up.
  EXPECT_EQ(LoadAndAwait(FakeVersion(source_, 1, "10")).state, State::kReady);
}

TEST_F(LoadedModelsTest, UnloadOfWhatIsNotThereIsFine) {
  EXPECT_TRUE(models_->Unload(kShoes, kVersion1).ok());
}

TEST_F(LoadedModelsTest, RefusesWhatIsNoLoadNamingTheField) {
  const auto good = FakeVersion(source_, 1, "10");
  const auto field = [&](const std::string& deployment, auto change) {
    auto version = good;
    change(version);
    return FieldOf(models_->Load(deployment, version, "token").status());
  };
  const auto same = [](auto&) {};
  EXPECT_EQ(field("shoes", same), "deployment");
  EXPECT_EQ(field("tenants/other/deployments/shoes", same), "model_version.name");
  EXPECT_EQ(field(kShoes, [](auto& v) { v.set_name("cnn/1"); }), "model_version.name");
  for (const char* path : {"", "/etc/passwd", "../bias", "a/../b", "a/./b", "a//b"}) {
    EXPECT_EQ(
        field(kShoes, [&](auto& v) { v.mutable_artifact()->mutable_files(0)->set_path(path); }),
        "model_version.artifact.files[0].path")
        << path;
  }
  EXPECT_EQ(field(kShoes, [](auto& v) { v.mutable_artifact()->mutable_files(0)->set_digest("x"); }),
            "model_version.artifact.files[0].digest");
  EXPECT_EQ(
      field(kShoes, [](auto& v) { v.mutable_artifact()->mutable_files(0)->set_size_bytes(-1); }),
      "model_version.artifact.files[0].size_bytes");
  EXPECT_EQ(
      field(kShoes, [](auto& v) { v.mutable_signature()->mutable_inputs(0)->set_datatype("F"); }),
      "model_version.signature.inputs[0].datatype");
  EXPECT_TRUE(models_->List().empty());
}

TEST_F(LoadedModelsTest, MeasuresWhatIsLoaded) {
  LoadAndAwait(FakeVersion(source_, 1, "10"));
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("slipway_worker_model_loaded_bytes{deployment=\"" + std::string(kShoes) +
                        "\",model_version=\"" + kVersion1 + "\"} 1000"));
  ASSERT_TRUE(models_->Unload(kShoes, kVersion1).ok());
  EXPECT_THAT(metrics_.Text(),
              HasSubstr("slipway_worker_model_loaded_bytes{deployment=\"" + std::string(kShoes) +
                        "\",model_version=\"" + kVersion1 + "\"} 0"));
}

}  // namespace
}  // namespace slipway::worker
