#include "services/registry/registry_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "common/blob/file_blob_store.h"
#include "common/grpc/server.h"
#include "common/sql/database.h"
#include "services/registry/sql_registry_store.h"
#include "tests/integration/services/registry/registry_client.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/internal_matrix.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::registry {
namespace {

using Stub = v1::RegistryService::Stub;
using ::testing::HasSubstr;

class RegistryServiceTest : public ::testing::Test {
 protected:
  RegistryServiceTest() {
    database_ = *sql::Database::Open("sqlite:" + (dir_ / "registry.db"));
    store_ = *SqlRegistryStore::Create(*database_);
    blobs_ = *FileBlobStore::Open(dir_ / "blobs", files_);
    registry_ = std::make_unique<Registry>(*store_, Clock::Real());
    catalog_ = std::make_unique<BlobCatalog>(*store_, *blobs_, Clock::Real(), BlobCatalogOptions{});
    meter_ = std::make_unique<StorageMeter>(*store_, Clock::Real());
    edge_ = *RegistryEdge::Create(*registry_, *catalog_, *meter_, *verifier_, metrics_,
                                  Clock::Real(), kMaxStreams);
    auto server =
        GrpcServer::Start({.address = "unix:" + (dir_ / "registry.sock")}, {edge_->service()});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->SetServing(true);
  }

  static constexpr int kMaxStreams = 8;

  RegistryClient As(ServiceId caller, const std::string& tenant,
                    std::vector<std::string> scopes = {}) {
    Principal who;
    who.tenant = tenant;
    who.role = Role::kDeveloper;
    who.caller = caller;
    who.scopes = std::move(scopes);
    return RegistryClient(server_->address(), trust_.Token(who, ServiceId::kRegistry));
  }

  TempDir dir_;
  TestTrust trust_;
  FaultyFileSystem files_;
  Metrics metrics_{"registry"};
  std::unique_ptr<TokenVerifier> verifier_ = trust_.Verifier(ServiceId::kRegistry);
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<SqlRegistryStore> store_;
  std::unique_ptr<FileBlobStore> blobs_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<BlobCatalog> catalog_;
  std::unique_ptr<StorageMeter> meter_;
  std::unique_ptr<RegistryEdge> edge_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(RegistryServiceTest, AnswersEachServiceAsItsProtoSays) {
  ExpectInternalMatrix(
      {"slipway.registry.v1.RegistryService", server_->address(), ServiceId::kRegistry}, trust_);
}

TEST_F(RegistryServiceTest, TakesAModelFromItsBytesToItsAlias) {
  RegistryClient acme = As(ServiceId::kGateway, "acme");
  std::string bytes;
  for (int i = 0; i < 300'000; ++i) bytes += static_cast<char>(i * 7);
  const auto blob = acme.Upload("acme", bytes, "sha256:" + Sha256Hex(bytes));
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(blob->size_bytes(), 300'000);
  EXPECT_EQ(*acme.Download(blob->name()), bytes);
  EXPECT_EQ(*acme.Download(blob->name(), 299'990), bytes.substr(299'990));

  const auto version = acme.CreateVersion("tenants/acme/models/m", bytes, "id-1");
  ASSERT_TRUE(version.ok()) << version.status();
  EXPECT_EQ(version->name(), "tenants/acme/models/m/versions/1");
  EXPECT_EQ(acme.CreateVersion("tenants/acme/models/m", bytes, "id-1")->name(), version->name());

  v1::SetAliasRequest set;
  set.mutable_alias()->set_name("tenants/acme/models/m/aliases/live");
  set.mutable_alias()->set_version(version->name());
  ASSERT_TRUE(acme.Call(&Stub::SetAlias, set).ok());
  for (const std::string& name : {set.alias().name(), version->name()}) {
    v1::GetModelVersionRequest get;
    get.set_name(name);
    const auto got = acme.Call(&Stub::GetModelVersion, get);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->artifact().files(0).size_bytes(), 300'000);
  }

  v1::CreateDatasetRequest create;
  create.set_parent("tenants/acme");
  create.set_dataset_id("d");
  *create.mutable_dataset()->add_files() = version->artifact().files(0);
  ASSERT_TRUE(acme.Call(&Stub::CreateDataset, create).ok());
  v1::ListDatasetsRequest list;
  list.set_parent("tenants/acme");
  EXPECT_EQ(acme.Call(&Stub::ListDatasets, list)->datasets_size(), 1);
  v1::DeleteDatasetRequest remove;
  remove.set_name("tenants/acme/datasets/d");
  EXPECT_TRUE(acme.Call(&Stub::DeleteDataset, remove).ok());
  EXPECT_EQ(acme.Call(&Stub::ListDatasets, list)->datasets_size(), 0);
}

TEST_F(RegistryServiceTest, ErrorsNameTheField) {
  RegistryClient acme = As(ServiceId::kGateway, "acme");
  const auto field = [](const absl::Status& status) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return FieldOf(status);
  };
  v1::CreateModelRequest model;
  EXPECT_EQ(field(acme.Call(&Stub::CreateModel, model).status()), "parent");
  model.set_parent("tenants/acme");
  model.set_model_id("Not A Slug");
  EXPECT_EQ(field(acme.Call(&Stub::CreateModel, model).status()), "model_id");
  v1::GetModelVersionRequest version;
  version.set_name("tenants/acme/models/m/versions/0");
  EXPECT_EQ(field(acme.Call(&Stub::GetModelVersion, version).status()), "name");
  v1::SetAliasRequest alias;
  EXPECT_EQ(field(acme.Call(&Stub::SetAlias, alias).status()), "alias.name");
  v1::ListModelsRequest list;
  list.set_parent("tenants/acme");
  list.set_page_token("?");
  EXPECT_EQ(field(acme.Call(&Stub::ListModels, list).status()), "page_token");
  EXPECT_EQ(field(acme.CreateVersion("tenants/acme/models/m", "never uploaded").status()),
            "model_version.artifact.files[0].digest");
  EXPECT_EQ(field(acme.Upload("acme", "bytes", "sha256:12").status()), "digest");
  EXPECT_EQ(field(acme.Upload("acme", "these", "sha256:" + Sha256Hex("those")).status()), "digest");
  EXPECT_EQ(field(acme.Upload("../acme", "bytes").status()), "parent");
  EXPECT_EQ(field(acme.Download("tenants/acme/blobs/x").status()), "name");
  ASSERT_TRUE(acme.Upload("acme", "bytes").ok());
  EXPECT_EQ(field(acme.Download(BlobNameOf("acme", "bytes"), 6).status()), "offset_bytes");

  const auto context = acme.Context();
  v1::Blob blob;
  const auto writer = acme.stub().UploadBlob(context.get(), &blob);
  writer->WritesDone();
  EXPECT_EQ(field(FromGrpcStatus(writer->Finish())), "parent") << "a stream without a message";
}

TEST_F(RegistryServiceTest, AnUploadWhoseClientGoesAwayLeavesNothing) {
  {
    RegistryClient acme = As(ServiceId::kGateway, "acme");
    for (int i = 0; i < 5; ++i) {
      const auto context = acme.Context();
      v1::Blob blob;
      const auto writer = acme.stub().UploadBlob(context.get(), &blob);
      v1::UploadBlobRequest message;
      message.set_parent("tenants/acme");
      message.mutable_content()->set_data("half of it");
      ASSERT_TRUE(writer->Write(message));
      context->TryCancel();
      EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::CANCELLED);
    }
  }
  server_->Drain(absl::Seconds(30));
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "blobs/.tmp"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "blobs/acme"));
}

TEST_F(RegistryServiceTest, ATrainerAndAWorkerReadWhatTheirTokensNameOnly) {
  RegistryClient acme = As(ServiceId::kGateway, "acme");
  for (const char* bytes : {"one", "two"}) {
    ASSERT_TRUE(acme.Upload("acme", bytes).ok());
    ASSERT_TRUE(acme.CreateVersion("tenants/acme/models/m", bytes).ok());
  }
  RegistryClient worker = As(ServiceId::kWorker, "acme", {"tenants/acme/models/m/versions/1"});
  EXPECT_EQ(*worker.Download(BlobNameOf("acme", "one")), "one");
  const std::string two = BlobNameOf("acme", "two");
  EXPECT_EQ(worker.Download(two).status(), NotFound(two));
  EXPECT_EQ(worker.Upload("acme", "planted").status().code(), absl::StatusCode::kPermissionDenied);

  RegistryClient trainer = As(ServiceId::kTrainer, "acme", {"tenants/acme/jobs/j"});
  EXPECT_EQ(trainer.Download(two).status(), NotFound(two));
  EXPECT_TRUE(trainer.Upload("acme", "weights").ok());
  EXPECT_EQ(trainer.Upload("globex", "weights").status().code(), absl::StatusCode::kNotFound);

  RegistryClient globex = As(ServiceId::kGateway, "globex");
  EXPECT_EQ(globex.Download(two).status(), NotFound(two));
}

TEST_F(RegistryServiceTest, AFullVolumeRefusesUploadsByItsNameAndDownloadsGoOn) {
  RegistryClient acme = As(ServiceId::kGateway, "acme");
  ASSERT_TRUE(acme.Upload("acme", "kept").ok());
  files_.FailAll(ENOSPC);
  const absl::Status full = acme.Upload("acme", "more").status();
  EXPECT_TRUE(IsStorageFull(full)) << full;
  EXPECT_THAT(std::string(full.message()), HasSubstr(dir_ / "blobs"));
  EXPECT_EQ(*acme.Download(BlobNameOf("acme", "kept")), "kept");
  files_.FailNone();
  EXPECT_TRUE(acme.Upload("acme", "more").ok());
}

TEST_F(RegistryServiceTest, DamagedBytesAreNotGivenOut) {
  RegistryClient acme = As(ServiceId::kGateway, "acme");
  ASSERT_TRUE(acme.Upload("acme", "0123456789").ok());
  const Digest digest = Digest::FromHex(Sha256Hex("0123456789"));
  std::ofstream(blobs_->PathOf("acme", digest)) << "01234_6789";
  const auto got = acme.Download(BlobNameOf("acme", "0123456789"));
  EXPECT_EQ(got.status().code(), absl::StatusCode::kDataLoss) << got.status();
}

TEST_F(RegistryServiceTest, StreamsBeyondTheLimitAreRefusedAndShortCallsGoOn) {
  RegistryClient acme = As(ServiceId::kGateway, "acme");
  ASSERT_TRUE(acme.Upload("acme", "bytes").ok());
  struct Open {
    std::unique_ptr<grpc::ClientContext> context;
    v1::Blob blob;
    std::unique_ptr<grpc::ClientWriter<v1::UploadBlobRequest>> writer;
  };
  std::vector<std::unique_ptr<Open>> streams;
  v1::UploadBlobRequest message;
  message.set_parent("tenants/acme");
  for (int i = 0; i < kMaxStreams; ++i) {
    auto& open = streams.emplace_back(std::make_unique<Open>());
    open->context = acme.Context();
    open->writer = acme.stub().UploadBlob(open->context.get(), &open->blob);
    ASSERT_TRUE(open->writer->Write(message));
  }
  // The server may not have begun them all yet.
  absl::Status refused;
  while (refused.ok()) refused = acme.Download(BlobNameOf("acme", "bytes")).status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kResourceExhausted) << refused;
  v1::GetBlobRequest get;
  get.set_name(BlobNameOf("acme", "bytes"));
  EXPECT_TRUE(acme.Call(&Stub::GetBlob, get).ok());
  for (auto& open : streams) {
    open->writer->WritesDone();
    EXPECT_TRUE(open->writer->Finish().ok());
  }
  EXPECT_TRUE(acme.Download(BlobNameOf("acme", "bytes")).ok());
}

/// The process's largest memory since ResetPeak, in KiB.
int64_t PeakMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6));
  }
  return 0;
}

void ResetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

TEST_F(RegistryServiceTest, MemoryStaysFlatHoweverLargeTheBlob) {
  RegistryClient acme = As(ServiceId::kGateway, "acme");
  const std::string chunk(256 << 10, 'w');
  constexpr int kChunks = 512;  // 128 MiB
  ASSERT_TRUE(acme.Upload("acme", chunk).ok());
  ResetPeak();
  const int64_t before = PeakMemory();

  auto context = acme.Context();
  v1::Blob blob;
  const auto writer = acme.stub().UploadBlob(context.get(), &blob);
  v1::UploadBlobRequest message;
  message.set_parent("tenants/acme");
  message.mutable_content()->set_data(chunk);
  for (int i = 0; i < kChunks; ++i) ASSERT_TRUE(writer->Write(message));
  writer->WritesDone();
  const absl::Status uploaded = FromGrpcStatus(writer->Finish());
  ASSERT_TRUE(uploaded.ok()) << uploaded;
  EXPECT_EQ(blob.size_bytes(), int64_t{kChunks} * 256 * 1024);

  context = acme.Context();
  v1::DownloadBlobRequest request;
  request.set_name(blob.name());
  const auto reader = acme.stub().DownloadBlob(context.get(), request);
  google::api::HttpBody body;
  int64_t bytes = 0;
  size_t largest = 0;
  for (int messages = 0; reader->Read(&body); ++messages) {
    EXPECT_EQ(body.content_type(), messages == 0 ? "application/octet-stream" : "");
    bytes += static_cast<int64_t>(body.data().size());
    largest = std::max(largest, body.data().size());
  }
  ASSERT_TRUE(reader->Finish().ok());
  EXPECT_EQ(bytes, blob.size_bytes());
  EXPECT_LE(largest, 1u << 20);
  if (!kSanitized) {  // which keeps what is freed
    EXPECT_LT(PeakMemory() - before, 64 << 10) << "KiB, client and server together";
  }
}

}  // namespace
}  // namespace slipway::registry
