#ifndef SLIPWAY_TESTS_UNIT_SERVICES_REGISTRY_REGISTRY_FIXTURE_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_REGISTRY_REGISTRY_FIXTURE_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/blob/file_blob_store.h"
#include "common/crypto/hash.h"
#include "common/sql/database.h"
#include "services/registry/blob_catalog.h"
#include "services/registry/registry.h"
#include "services/registry/sql_registry_store.h"
#include "tests/support/fake_clock.h"
#include "tests/support/faulty_file_system.h"
#include "tests/support/temp_dir.h"
#ifdef SLIPWAY_TEST_ON_POSTGRES
#include "tests/support/postgres.h"
#endif

namespace slipway::registry {

inline Digest DigestOfBytes(std::string_view bytes) { return Digest::FromHex(Sha256Hex(bytes)); }

/// The registry's domain on real files and a real database: SQLite, or PostgreSQL where the suite
/// is compiled for it (tests/integration/services/registry).
class RegistryFixture : public ::testing::Test {
 protected:
  RegistryFixture() {
#ifdef SLIPWAY_TEST_ON_POSTGRES
    url_ = TestPostgres::Shared().NewDatabase();
#else
    url_ = "sqlite:" + (dir_ / "registry.db");
#endif
    Restart();
  }

  /// As after a restart of the process.
  void Restart() {
    catalog_ = nullptr;
    registry_ = nullptr;
    blobs_ = nullptr;
    store_ = nullptr;
    database_ = nullptr;
    auto database = sql::Database::Open(url_);
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *std::move(database);
    auto store = SqlRegistryStore::Create(*database_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    auto blobs = FileBlobStore::Open(dir_ / "blobs", files_);
    ASSERT_TRUE(blobs.ok()) << blobs.status();
    blobs_ = *std::move(blobs);
    registry_ = std::make_unique<Registry>(*store_, clock_);
    catalog_ = std::make_unique<BlobCatalog>(*store_, *blobs_, clock_, options_);
  }

  static Principal Of(const std::string& tenant) {
    Principal who;
    who.tenant = tenant;
    who.role = Role::kDeveloper;
    who.caller = ServiceId::kGateway;
    return who;
  }

  static Principal Scoped(ServiceId caller, const std::string& tenant,
                          std::vector<std::string> scopes) {
    Principal who = Of(tenant);
    who.caller = caller;
    who.scopes = std::move(scopes);
    return who;
  }

  absl::StatusOr<v1::Blob> Upload(const Principal& who, const std::string& tenant,
                                  std::string_view bytes,
                                  const std::optional<Digest>& expected = std::nullopt) {
    ASSIGN_OR_RETURN(const auto upload, catalog_->NewUpload(who, {tenant}, expected));
    RETURN_IF_ERROR(upload->Append(bytes));
    return upload->Finish();
  }

  absl::StatusOr<std::string> Download(const Principal& who, const std::string& tenant,
                                       const Digest& digest, int64_t offset = 0) {
    ASSIGN_OR_RETURN(const auto reader, catalog_->Open(who, {tenant, digest}, offset));
    std::string all;
    for (;;) {
      ASSIGN_OR_RETURN(const std::string chunk, reader->Read(10));
      if (chunk.empty()) return all;
      all += chunk;
    }
  }

  /// Uploads `bytes` to `tenant` and names them as a file.
  v1::File File(const std::string& path, std::string_view bytes,
                const std::string& tenant = "acme") {
    const auto blob = Upload(Of(tenant), tenant, bytes);
    EXPECT_TRUE(blob.ok()) << blob.status();
    v1::File file;
    file.set_path(path);
    file.set_digest(DigestOfBytes(bytes).ToString());
    return file;
  }

  v1::ModelVersion Version(std::string_view weights = "weights",
                           const std::string& tenant = "acme") {
    v1::ModelVersion version;
    version.mutable_artifact()->set_format("slipway");
    *version.mutable_artifact()->add_files() = File("model.safetensors", weights, tenant);
    return version;
  }

  v1::Dataset Dataset(std::string_view bytes = "rows", const std::string& tenant = "acme") {
    v1::Dataset dataset;
    *dataset.add_files() = File("train.csv", bytes, tenant);
    return dataset;
  }

  TempDir dir_;
  std::string url_;
  FakeClock clock_;
  FaultyFileSystem files_;
  BlobCatalogOptions options_;
  std::unique_ptr<sql::Database> database_;
  std::unique_ptr<SqlRegistryStore> store_;
  std::unique_ptr<FileBlobStore> blobs_;
  std::unique_ptr<Registry> registry_;
  std::unique_ptr<BlobCatalog> catalog_;
};

}  // namespace slipway::registry

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_REGISTRY_REGISTRY_FIXTURE_H_
