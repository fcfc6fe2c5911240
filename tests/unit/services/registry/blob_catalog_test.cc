#include "services/registry/blob_catalog.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "fmt/format.h"
#include "tests/unit/services/registry/registry_fixture.h"

namespace slipway::registry {
namespace {

using ::testing::HasSubstr;

class BlobCatalogTest : public RegistryFixture {
 protected:
  bool Exists(const Digest& digest) {
    const bool row = catalog_->Get(Of("acme"), {"acme", digest}).ok();
    EXPECT_EQ(blobs_->Stat("acme", digest).ok(), row) << "row and bytes differ";
    return row;
  }

  BlobCatalog::Garbage Collect() {
    const auto garbage = catalog_->CollectGarbage();
    EXPECT_TRUE(garbage.ok()) << garbage.status();
    return *garbage;
  }
};

/// A blob store in which something happens between a blob's arrival and its row.
class EventfulBlobStore final : public BlobStore {
 public:
  EventfulBlobStore(BlobStore& blobs, std::function<void()> event)
      : blobs_(blobs), event_(std::move(event)) {}

  absl::StatusOr<std::unique_ptr<BlobWriter>> NewWriter(std::string_view tenant) override {
    ASSIGN_OR_RETURN(auto writer, blobs_.NewWriter(tenant));
    return std::make_unique<Writer>(std::move(writer), event_);
  }
  absl::StatusOr<BlobInfo> Stat(std::string_view tenant, const Digest& digest) override {
    return blobs_.Stat(tenant, digest);
  }
  absl::StatusOr<std::unique_ptr<BlobReader>> OpenReader(std::string_view tenant,
                                                         const Digest& digest,
                                                         int64_t offset_bytes) override {
    return blobs_.OpenReader(tenant, digest, offset_bytes);
  }
  absl::Status Delete(std::string_view tenant, const Digest& digest) override {
    return blobs_.Delete(tenant, digest);
  }
  absl::Status DeleteTenant(std::string_view tenant) override {
    return blobs_.DeleteTenant(tenant);
  }

 private:
  class Writer final : public BlobWriter {
   public:
    Writer(std::unique_ptr<BlobWriter> writer, std::function<void()> event)
        : writer_(std::move(writer)), event_(std::move(event)) {}
    absl::Status Append(std::string_view bytes) override { return writer_->Append(bytes); }
    int64_t size_bytes() const override { return writer_->size_bytes(); }
    absl::StatusOr<BlobInfo> Commit(const std::optional<Digest>& expected) override {
      auto committed = writer_->Commit(expected);
      event_();
      return committed;
    }

   private:
    const std::unique_ptr<BlobWriter> writer_;
    const std::function<void()> event_;
  };

  BlobStore& blobs_;
  const std::function<void()> event_;
};

TEST_F(BlobCatalogTest, ABlobThatTheCollectorTakesAsItArrivesIsRefusedNotLeftDangling) {
  ASSERT_TRUE(Upload(Of("acme"), "acme", "again").ok());
  clock_.Advance(options_.unused_ttl + absl::Seconds(1));
  bool collect = true;
  EventfulBlobStore blobs(*blobs_, [&] {
    if (std::exchange(collect, false)) {
      EXPECT_EQ(Collect().blobs, 1);
    }
  });
  catalog_ = std::make_unique<BlobCatalog>(*store_, blobs, clock_, options_);
  const absl::Status refused = Upload(Of("acme"), "acme", "again").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  EXPECT_FALSE(Exists(DigestOfBytes("again")));
  EXPECT_TRUE(Upload(Of("acme"), "acme", "again").ok());
  EXPECT_TRUE(Exists(DigestOfBytes("again")));
  catalog_ = nullptr;
}

TEST_F(BlobCatalogTest, KeepsBytesUnderTheirDigest) {
  const auto blob = Upload(Of("acme"), "acme", "0123456789", DigestOfBytes("0123456789"));
  ASSERT_TRUE(blob.ok()) << blob.status();
  const BlobName name{"acme", DigestOfBytes("0123456789")};
  EXPECT_EQ(blob->name(), name.ToString());
  EXPECT_EQ(blob->digest(), name.digest.ToString());
  EXPECT_EQ(blob->size_bytes(), 10);
  Restart();
  EXPECT_EQ(catalog_->Get(Of("acme"), name)->size_bytes(), 10);
  EXPECT_EQ(*Download(Of("acme"), "acme", name.digest), "0123456789");
  EXPECT_EQ(*Download(Of("acme"), "acme", name.digest, 7), "789");
  EXPECT_EQ(*Download(Of("acme"), "acme", name.digest, 10), "");
  for (const int64_t offset : {-1, 11}) {
    EXPECT_EQ(FieldOf(Download(Of("acme"), "acme", name.digest, offset).status()), "offset_bytes");
  }
}

TEST_F(BlobCatalogTest, RefusesOtherBytesThanAnnounced) {
  const auto refused = Upload(Of("acme"), "acme", "these", DigestOfBytes("those"));
  EXPECT_EQ(FieldOf(refused.status()), "digest");
  EXPECT_FALSE(Exists(DigestOfBytes("these")));
  EXPECT_FALSE(Exists(DigestOfBytes("those")));
}

TEST_F(BlobCatalogTest, RefusesABlobOverTheLimitWhileItArrives) {
  options_.max_blob_bytes = 10;
  Restart();
  EXPECT_TRUE(Upload(Of("acme"), "acme", "0123456789").ok());
  auto upload = catalog_->NewUpload(Of("acme"), {"acme"}, std::nullopt);
  ASSERT_TRUE((*upload)->Append("01234").ok());
  const absl::Status large = (*upload)->Append("567890");
  EXPECT_EQ(ToHttpCode(large), 413) << large;
}

TEST_F(BlobCatalogTest, AnUploadThatIsBrokenOffLeavesNothing) {
  {
    auto upload = catalog_->NewUpload(Of("acme"), {"acme"}, std::nullopt);
    ASSERT_TRUE((*upload)->Append("half of it").ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "blobs/.tmp"));
  EXPECT_FALSE(Exists(DigestOfBytes("half of it")));
}

TEST_F(BlobCatalogTest, AnotherTenantsBlobAnswersInTheWordsOfAnAbsentOne) {
  const BlobName name{"acme", DigestOfBytes("secret")};
  const absl::Status absent = catalog_->Get(Of("acme"), name).status();
  EXPECT_EQ(absent, NotFound(name.ToString()));
  ASSERT_TRUE(Upload(Of("acme"), "acme", "secret").ok());
  EXPECT_EQ(catalog_->Get(Of("globex"), name).status(), absent);
  EXPECT_EQ(catalog_->Open(Of("globex"), name, 0).status(), absent);
  EXPECT_EQ(catalog_->Get(Of("globex"), {"globex", name.digest}).status().code(),
            absl::StatusCode::kNotFound);
  EXPECT_EQ(Upload(Of("globex"), "acme", "planted").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(BlobCatalogTest, ATrainerReadsTheFilesOfWhatItsTokenNamesOnly) {
  ASSERT_TRUE(registry_->CreateDataset(Of("acme"), {"acme", "mine"}, Dataset("mine"), "").ok());
  ASSERT_TRUE(registry_->CreateDataset(Of("acme"), {"acme", "other"}, Dataset("other"), "").ok());
  ASSERT_TRUE(Upload(Of("acme"), "acme", "loose").ok());
  ASSERT_TRUE(
      registry_->CreateDataset(Of("globex"), {"globex", "mine"}, Dataset("globex's", "globex"), "")
          .ok());
  const Principal trainer = Scoped(
      ServiceId::kTrainer, "acme",
      {"tenants/acme/jobs/j1", "tenants/acme/datasets/mine", "tenants/globex/datasets/mine"});
  EXPECT_EQ(*Download(trainer, "acme", DigestOfBytes("mine")), "mine");
  for (const char* bytes : {"other", "loose"}) {
    const BlobName name{"acme", DigestOfBytes(bytes)};
    EXPECT_EQ(catalog_->Open(trainer, name, 0).status(), NotFound(name.ToString())) << bytes;
    EXPECT_EQ(catalog_->Get(trainer, name).status(), NotFound(name.ToString())) << bytes;
  }
  EXPECT_EQ(Download(trainer, "globex", DigestOfBytes("globex's")).status().code(),
            absl::StatusCode::kNotFound);

  // It writes into its own tenant, and a blob may be named itself.
  ASSERT_TRUE(Upload(trainer, "acme", "weights").ok());
  EXPECT_EQ(Upload(trainer, "globex", "weights").status().code(), absl::StatusCode::kNotFound);
  const BlobName weights{"acme", DigestOfBytes("weights")};
  EXPECT_FALSE(catalog_->Get(trainer, weights).ok());
  EXPECT_TRUE(
      catalog_->Get(Scoped(ServiceId::kTrainer, "acme", {weights.ToString()}), weights).ok());
}

TEST_F(BlobCatalogTest, AWorkerReadsTheVersionsThatItsTokenNamesOnly) {
  const ModelName model{"acme", "classifier"};
  ASSERT_TRUE(registry_->CreateVersion(Of("acme"), model, Version("one"), "").ok());
  ASSERT_TRUE(registry_->CreateVersion(Of("acme"), model, Version("two"), "").ok());
  ASSERT_TRUE(registry_->CreateVersion(Of("acme"), {"acme", "class"}, Version("else"), "").ok());
  const Principal worker =
      Scoped(ServiceId::kWorker, "acme",
             {"tenants/acme/deployments/d", "tenants/acme/models/classifier/versions/2"});
  EXPECT_EQ(*Download(worker, "acme", DigestOfBytes("two")), "two");
  EXPECT_FALSE(Download(worker, "acme", DigestOfBytes("one")).ok());
  EXPECT_FALSE(Download(worker, "acme", DigestOfBytes("else")).ok());

  // A model covers its versions, and no model whose name begins so.
  const Principal follower = Scoped(ServiceId::kWorker, "acme", {"tenants/acme/models/classifier"});
  EXPECT_TRUE(Download(follower, "acme", DigestOfBytes("one")).ok());
  EXPECT_TRUE(Download(follower, "acme", DigestOfBytes("two")).ok());
  EXPECT_FALSE(Download(follower, "acme", DigestOfBytes("else")).ok());
  EXPECT_FALSE(Download(Scoped(ServiceId::kWorker, "acme", {"tenants/acme/models/class"}), "acme",
                        DigestOfBytes("one"))
                   .ok());
}

TEST_F(BlobCatalogTest, ATrainerOrWorkerWithoutScopesReadsNothing) {
  ASSERT_TRUE(Upload(Of("acme"), "acme", "bytes").ok());
  for (const ServiceId caller : {ServiceId::kTrainer, ServiceId::kWorker}) {
    EXPECT_FALSE(Download(Scoped(caller, "acme", {}), "acme", DigestOfBytes("bytes")).ok());
    EXPECT_FALSE(
        Download(Scoped(caller, "acme", {"tenants/acme"}), "acme", DigestOfBytes("bytes")).ok());
  }
}

TEST_F(BlobCatalogTest, DeletesWhatNothingUsesOnceItsTimeIsOver) {
  const Digest loose = DigestOfBytes("loose");
  ASSERT_TRUE(Upload(Of("acme"), "acme", "loose").ok());
  ASSERT_TRUE(registry_->CreateVersion(Of("acme"), {"acme", "m"}, Version("weights"), "").ok());
  clock_.Advance(options_.unused_ttl);
  EXPECT_EQ(Collect().blobs, 0) << "a moment too early";
  clock_.Advance(absl::Microseconds(1));
  const BlobCatalog::Garbage garbage = Collect();
  EXPECT_EQ(garbage.blobs, 1);
  EXPECT_EQ(garbage.bytes, 5);
  EXPECT_FALSE(Exists(loose));
  EXPECT_TRUE(Exists(DigestOfBytes("weights"))) << "a version's file stays for ever";
}

TEST_F(BlobCatalogTest, AnUploadOrADeletedDatasetRenewsABlobsTime) {
  ASSERT_TRUE(Upload(Of("acme"), "acme", "again").ok());
  ASSERT_TRUE(registry_->CreateDataset(Of("acme"), {"acme", "a"}, Dataset("shared"), "").ok());
  ASSERT_TRUE(registry_->CreateDataset(Of("acme"), {"acme", "b"}, Dataset("shared"), "").ok());
  clock_.Advance(options_.unused_ttl + absl::Seconds(1));
  ASSERT_TRUE(Upload(Of("acme"), "acme", "again").ok());
  ASSERT_TRUE(registry_->DeleteDataset(Of("acme"), {"acme", "a"}).ok());
  EXPECT_EQ(Collect().blobs, 0);
  clock_.Advance(options_.unused_ttl + absl::Seconds(1));
  EXPECT_EQ(Collect().blobs, 1);
  EXPECT_FALSE(Exists(DigestOfBytes("again")));
  EXPECT_TRUE(Exists(DigestOfBytes("shared"))) << "the other dataset has it";

  ASSERT_TRUE(registry_->DeleteDataset(Of("acme"), {"acme", "b"}).ok());
  EXPECT_EQ(Collect().blobs, 0) << "a job may still be reading it";
  clock_.Advance(options_.unused_ttl + absl::Seconds(1));
  EXPECT_EQ(Collect().blobs, 1);
  EXPECT_FALSE(Exists(DigestOfBytes("shared")));
}

TEST_F(BlobCatalogTest, CollectsMoreThanABatch) {
  // Rows alone: 230 synced files would cost seconds.
  ASSERT_TRUE(store_
                  ->Write([&](RegistryTransaction& tx) -> absl::Status {
                    for (int i = 0; i < 230; ++i) {
                      RETURN_IF_ERROR(
                          tx.PutBlob({"acme", DigestOfBytes(std::to_string(i)), 1}, clock_.Now()));
                    }
                    return absl::OkStatus();
                  })
                  .ok());
  clock_.Advance(options_.unused_ttl + absl::Seconds(1));
  EXPECT_EQ(Collect().blobs, 230);
}

TEST_F(BlobCatalogTest, AVersionNeverLosesItsBytesToTheCollector) {
  // Everything is garbage the moment it is uploaded; versions race the collector for it.
  options_.unused_ttl = -absl::Hours(1);
  Restart();
  std::atomic<bool> done = false;
  std::jthread collector([&] {
    while (!done) {
      const auto garbage = catalog_->CollectGarbage();
      EXPECT_TRUE(garbage.ok() || absl::IsUnavailable(garbage.status())) << garbage.status();
    }
  });
  int made = 0;
  v1::ModelVersion version;
  version.mutable_artifact()->set_format("slipway");
  auto* file = version.mutable_artifact()->add_files();
  file->set_path("weights");
  for (int i = 0; i < 100; ++i) {
    const std::string bytes = "weights " + std::to_string(i % 5);
    file->set_digest(DigestOfBytes(bytes).ToString());
    const auto blob = Upload(Of("acme"), "acme", bytes);
    if (!blob.ok()) {
      EXPECT_TRUE(absl::IsUnavailable(blob.status())) << blob.status();
      continue;
    }
    const auto created = registry_->CreateVersion(Of("acme"), {"acme", "m"}, version, "");
    if (!created.ok()) continue;
    ++made;
    EXPECT_EQ(*Download(Of("acme"), "acme", DigestOfBytes(bytes)), bytes);
  }
  done = true;
  collector.join();
  for (int number = 1; number <= made; ++number) {
    const auto kept = registry_->GetVersion(Of("acme"), VersionName{{"acme", "m"}, number});
    ASSERT_TRUE(kept.ok()) << kept.status();
    const auto digest = Digest::Parse("digest", kept->artifact().files(0).digest());
    EXPECT_TRUE(Download(Of("acme"), "acme", *digest).ok()) << number;
  }
}

TEST_F(BlobCatalogTest, ForgetsRequestIdsWhenTheirTimeIsOver) {
  ASSERT_TRUE(registry_->CreateModel(Of("acme"), {"acme", "one"}, {}, "id").ok());
  clock_.Advance(options_.request_ttl + absl::Seconds(1));
  EXPECT_FALSE(registry_->CreateModel(Of("acme"), {"acme", "two"}, {}, "id").ok());
  Collect();
  EXPECT_TRUE(registry_->CreateModel(Of("acme"), {"acme", "two"}, {}, "id").ok());
}

TEST_F(BlobCatalogTest, WhenTheVolumeIsFullUploadsSaySoReadsGoOnAndSpaceHeals) {
  ASSERT_TRUE(Upload(Of("acme"), "acme", "kept").ok());
  files_.FailAll(ENOSPC);
  const absl::Status full = Upload(Of("acme"), "acme", "more").status();
  EXPECT_EQ(ToHttpCode(full), 507) << full;
  EXPECT_THAT(std::string(full.message()), HasSubstr(dir_ / "blobs"));
  EXPECT_EQ(*Download(Of("acme"), "acme", DigestOfBytes("kept")), "kept");
  files_.FailNone();
  EXPECT_TRUE(Upload(Of("acme"), "acme", "more").ok());
}

class PurgeTest : public BlobCatalogTest {
 protected:
  PurgeTest() {
    for (const char* tenant : {"acme", "globex"}) {
      const ModelName model{tenant, "m"};
      EXPECT_TRUE(
          registry_->CreateVersion(Of(tenant), model, Version("weights", tenant), "id").ok());
      EXPECT_TRUE(registry_->SetAlias(Of(tenant), {model, "live"}, {model, 1}).ok());
      EXPECT_TRUE(
          registry_->CreateDataset(Of(tenant), {tenant, "d"}, Dataset("rows", tenant), "").ok());
    }
  }

  // "models 1 versions 1 ... done"
  std::string Purge(bool remove) {
    Principal who = Of("");
    who.role = Role::kOperator;
    const auto content = catalog_->PurgeTenant(who, {"acme"}, remove);
    if (!content.ok()) return content.status().ToString();
    std::string text;
    for (const auto& kind : content->kinds()) {
      text += fmt::format("{} {} ", kind.kind(), kind.count());
    }
    return text + (content->done() ? "done" : "there");
  }

  bool HasFolder(const std::string& tenant) {
    return std::filesystem::exists(dir_ / "blobs/" + tenant);
  }
};

TEST_F(PurgeTest, RemovesAllOfATenantAndNothingOfAnother) {
  EXPECT_EQ(Purge(false), "models 1 versions 1 aliases 1 datasets 1 blobs 2 there");
  EXPECT_TRUE(registry_->GetVersion(Of("acme"), VersionName{{"acme", "m"}, 1}).ok());
  EXPECT_EQ(Purge(true), "models 0 versions 0 aliases 0 datasets 0 blobs 0 done");
  EXPECT_EQ(Purge(true), "models 0 versions 0 aliases 0 datasets 0 blobs 0 done");
  EXPECT_FALSE(HasFolder("acme"));
  EXPECT_TRUE(absl::IsNotFound(registry_->GetModel(Of("acme"), {"acme", "m"}).status()));
  EXPECT_FALSE(Exists(DigestOfBytes("weights")));

  EXPECT_TRUE(registry_->GetVersion(Of("globex"), AliasName{{"globex", "m"}, "live"}).ok());
  EXPECT_TRUE(registry_->GetDataset(Of("globex"), {"globex", "d"}).ok());
  EXPECT_EQ(*Download(Of("globex"), "globex", DigestOfBytes("weights")), "weights");
  // Its request id is still known: the same version, not another.
  const auto again =
      registry_->CreateVersion(Of("globex"), {"globex", "m"}, Version("weights", "globex"), "id");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->name(), "tenants/globex/models/m/versions/1");
}

TEST_F(PurgeTest, NothingIsMadeInAClosedTenant) {
  Purge(true);
  Restart();
  const absl::Status gone = NotFound("tenants/acme");
  EXPECT_EQ(registry_->CreateModel(Of("acme"), {"acme", "n"}, {}, "").status(), gone);
  EXPECT_EQ(registry_->CreateModel(Of("acme"), {"acme", "n"}, {}, "id").status(), gone);
  EXPECT_EQ(Upload(Of("acme"), "acme", "bytes").status(), gone);
  EXPECT_TRUE(absl::IsNotFound(blobs_->Stat("acme", DigestOfBytes("bytes")).status()));
  EXPECT_TRUE(Upload(Of("globex"), "globex", "bytes").ok());
}

TEST_F(PurgeTest, AnUploadThatIsUnderWayLeavesNoBytes) {
  const auto upload = *catalog_->NewUpload(Of("acme"), {"acme"}, std::nullopt);
  ASSERT_TRUE(upload->Append("late").ok());
  Purge(true);
  EXPECT_EQ(upload->Finish().status(), NotFound("tenants/acme"));
  EXPECT_TRUE(absl::IsNotFound(blobs_->Stat("acme", DigestOfBytes("late")).status()));
  // One whose process was killed just then has left bytes without a row.
  for (const char* tenant : {"acme", "globex"}) {
    auto writer = *blobs_->NewWriter(tenant);
    ASSERT_TRUE(writer->Append("later").ok());
    ASSERT_TRUE(writer->Commit(std::nullopt).ok());
  }
  Collect();
  EXPECT_FALSE(HasFolder("acme"));
  EXPECT_TRUE(blobs_->Stat("globex", DigestOfBytes("later")).ok());
}

TEST_F(PurgeTest, IsForOperators) {
  Principal who = Of("acme");
  who.role = Role::kOwner;
  EXPECT_EQ(catalog_->PurgeTenant(who, {"acme"}, true).status(), NotFound("tenants/acme"));
  EXPECT_TRUE(Upload(Of("acme"), "acme", "bytes").ok());
}

TEST_F(BlobCatalogTest, SaysDataLossWhereTheBytesAreNotWhatWasStored) {
  const std::string bytes = "0123456789";
  ASSERT_TRUE(Upload(Of("acme"), "acme", bytes).ok());
  const std::string path = blobs_->PathOf("acme", DigestOfBytes(bytes));
  const auto code = [&](int64_t offset) {
    return Download(Of("acme"), "acme", DigestOfBytes(bytes), offset).status().code();
  };
  std::ofstream(path) << "01234_6789";
  EXPECT_EQ(code(0), absl::StatusCode::kDataLoss);
  std::ofstream(path) << "01234";
  EXPECT_EQ(code(3), absl::StatusCode::kDataLoss);
  EXPECT_EQ(code(8), absl::StatusCode::kDataLoss);
  std::filesystem::remove(path);
  EXPECT_EQ(code(0), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace slipway::registry
