// The real program, killed at any moment: what it acknowledged is there after its restart, and
// nothing that is there points at bytes that are not.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "tests/integration/services/registry/registry_process.h"

namespace slipway::registry {
namespace {

using Stub = v1::RegistryService::Stub;

using RegistryKillTest = RegistryProcessFixture;

TEST_F(RegistryKillTest, AKillLosesNothingAcknowledgedAndLeavesNothingDangling) {
  constexpr int kCycles = 20;
  constexpr int kClients = 3;
  const std::string model = "tenants/acme/models/m";
  Mutex mutex;
  std::map<std::string, std::string> acknowledged;  // version -> its bytes
  std::mt19937 random(20260101);

  for (int cycle = 0; cycle < kCycles; ++cycle) {
    ASSERT_NO_FATAL_FAILURE(Start());
    CondVar called;
    int calls = 0;  // answered in this cycle; guarded by `mutex`
    const int kill_after = std::uniform_int_distribution<int>(1, 12)(random);
    {
      std::vector<std::jthread> clients;
      for (int client = 0; client < kClients; ++client) {
        clients.emplace_back([&, client] {
          RegistryClient registry = Client();
          for (int i = 0;; ++i) {
            // Long enough that a kill finds uploads in the middle.
            const std::string bytes =
                fmt::format("{}/{}/{}/", cycle, client, i) + std::string(400'000, 'w');
            if (!registry.Upload("acme", bytes).ok()) return;
            registry.FailAtOnce();
            const auto version = registry.CreateVersion(model, bytes);
            if (!version.ok()) return;
            MutexLock lock(mutex);
            acknowledged[version->name()] = bytes;
            ++calls;
            called.Signal();
          }
        });
      }
      {
        MutexLock lock(mutex);
        while (calls < kill_after) called.Wait(mutex);
      }
      Kill();
    }
  }

  ASSERT_NO_FATAL_FAILURE(Start());
  RegistryClient registry = Client();
  EXPECT_GE(acknowledged.size(), static_cast<size_t>(kCycles));
  for (const auto& [name, bytes] : acknowledged) {
    v1::GetModelVersionRequest get;
    get.set_name(name);
    const auto version = registry.Call(&Stub::GetModelVersion, get);
    ASSERT_TRUE(version.ok()) << name << " was acknowledged: " << version.status();
    EXPECT_EQ(version->artifact().files(0).digest(), "sha256:" + Sha256Hex(bytes)) << name;
  }
  // Every version that is there, acknowledged or not, is whole; numbers have no holes.
  v1::GetModelRequest get_model;
  get_model.set_name(model);
  const int64_t latest = registry.Call(&Stub::GetModel, get_model)->latest_version();
  EXPECT_GE(latest, static_cast<int64_t>(acknowledged.size()));
  for (int64_t number = 1; number <= latest; ++number) {
    v1::GetModelVersionRequest get;
    get.set_name(fmt::format("{}/versions/{}", model, number));
    const auto version = registry.Call(&Stub::GetModelVersion, get);
    ASSERT_TRUE(version.ok()) << version.status();
    const std::string& digest = version->artifact().files(0).digest();
    const auto bytes = registry.Download("tenants/acme/blobs/" + digest);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ("sha256:" + Sha256Hex(*bytes), digest);
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir_ / "blobs/.tmp"));
}

TEST_F(RegistryKillTest, AKillInTheMiddleOfAnUploadLeavesNothing) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string bytes(100'000, 'w');
  RegistryClient registry = Client();
  const auto context = registry.Context();
  v1::Blob blob;
  const auto writer = registry.stub().UploadBlob(context.get(), &blob);
  v1::UploadBlobRequest message;
  message.set_parent("tenants/acme");
  message.mutable_content()->set_data(bytes);
  ASSERT_TRUE(writer->Write(message));
  const std::filesystem::path temporary = dir_ / "blobs/.tmp/0";
  std::error_code absent;
  while (std::filesystem::file_size(temporary, absent) != bytes.size()) {
    ASSERT_FALSE(process_->Wait(absl::Milliseconds(5)).ok());
  }
  Kill();
  EXPECT_FALSE(writer->Finish().ok());
  EXPECT_TRUE(std::filesystem::exists(temporary));

  ASSERT_NO_FATAL_FAILURE(Start());
  RegistryClient again = Client();
  EXPECT_EQ(again.Download(BlobNameOf("acme", bytes)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(temporary)) << "leftovers are swept at start";
  ASSERT_TRUE(again.Upload("acme", bytes).ok());
  EXPECT_EQ(*again.Download(BlobNameOf("acme", bytes)), bytes);
}

TEST_F(RegistryKillTest, SigtermEndsItCleanly) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(Client().Upload("acme", "bytes").ok());
  ASSERT_TRUE(process_->Signal(SIGTERM).ok());
  EXPECT_EQ(process_->Wait(absl::Seconds(60))->ToString(), "exited with code 0");
}

TEST_F(RegistryKillTest, ASecondOneOnTheSameFolderRefusesToStart) {
  ASSERT_NO_FATAL_FAILURE(Start());
  RegistryClient registry = Client();
  ASSERT_TRUE(registry.Upload("acme", "bytes").ok());
  const std::unique_ptr<Process> first = std::move(process_);
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_EQ(process_->Wait(absl::Seconds(60))->code, 1);
  EXPECT_TRUE(registry.Upload("acme", "more").ok()) << "the first one serves on";
}

}  // namespace
}  // namespace slipway::registry
