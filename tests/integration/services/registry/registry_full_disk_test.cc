// The real program on a volume of 2 MiB that really is full.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/statvfs.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "fmt/format.h"
#include "tests/integration/services/registry/registry_process.h"

namespace slipway::registry {
namespace {

using Stub = v1::RegistryService::Stub;
using ::testing::HasSubstr;

class RegistryFullDiskTest : public RegistryProcessFixture {
 protected:
  void SetUp() override {
    data_ = dir_ / "volume";
    std::filesystem::create_directory(data_);
    if (mount("tmpfs", data_.c_str(), "tmpfs", 0, "size=2m") != 0) {
      GTEST_SKIP() << "a volume of its own needs the right to mount: " << std::strerror(errno);
    }
    mounted_ = true;
    ASSERT_NO_FATAL_FAILURE(Start());
  }
  void TearDown() override {
    if (process_ != nullptr) Kill();
    if (mounted_) umount(data_.c_str());
  }

  /// Takes every byte that is left; removing the file gives them back.
  void Fill() const {
    for (const size_t piece : {4096, 1}) {
      std::ofstream filler(data_ + "/filler", std::ios::binary | std::ios::app);
      while (filler.write(std::string(piece, 'x').data(), piece).flush()) {
      }
    }
  }

  absl::Status CreateModel(RegistryClient& registry, const std::string& id) {
    v1::CreateModelRequest request;
    request.set_parent("tenants/acme");
    request.set_model_id(id);
    request.mutable_model()->set_description(std::string(4000, 'd'));
    return registry.Call(&Stub::CreateModel, request).status();
  }

  bool mounted_ = false;
};

TEST_F(RegistryFullDiskTest, WritesSayWhichVolumeIsFullReadsGoOnAndSpaceHeals) {
  RegistryClient registry = Client();
  ASSERT_TRUE(registry.Upload("acme", "kept").ok());
  ASSERT_TRUE(registry.CreateVersion("tenants/acme/models/m", "kept").ok());

  const absl::Status upload = registry.Upload("acme", std::string(3 << 20, 'w')).status();
  EXPECT_TRUE(IsStorageFull(upload)) << upload;
  EXPECT_THAT(std::string(upload.message()), HasSubstr(data_));
  EXPECT_TRUE(std::filesystem::is_empty(data_ + "/blobs/.tmp")) << "what did not fit is gone";

  Fill();
  absl::Status row;
  int made = 0;
  while (row.ok()) row = CreateModel(registry, fmt::format("m{}", made++));
  EXPECT_TRUE(IsStorageFull(row)) << row;
  EXPECT_TRUE(IsStorageFull(registry.Upload("acme", "more").status()));

  EXPECT_EQ(*registry.Download(BlobNameOf("acme", "kept")), "kept");
  v1::GetModelVersionRequest get;
  get.set_name("tenants/acme/models/m/versions/1");
  EXPECT_TRUE(registry.Call(&Stub::GetModelVersion, get).ok());

  std::filesystem::remove(data_ + "/filler");
  EXPECT_TRUE(registry.Upload("acme", "more").ok());
  EXPECT_EQ(CreateModel(registry, "later"), absl::OkStatus());
  for (int i = 0; i + 1 < made; ++i) {
    v1::GetModelRequest model;
    model.set_name(fmt::format("tenants/acme/models/m{}", i));
    EXPECT_TRUE(registry.Call(&Stub::GetModel, model).ok()) << "acknowledged before it was full";
  }
}

}  // namespace
}  // namespace slipway::registry
