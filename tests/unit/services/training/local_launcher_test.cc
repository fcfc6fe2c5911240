#include "services/training/local_launcher.h"

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::training {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Key;
using ::testing::Not;

class NoProcess final : public Process {
 public:
  int64_t pid() const override { return 1; }
  absl::Status Signal(int) override { return absl::OkStatus(); }
  void Kill() override {}
  absl::StatusOr<ProcessExit> Wait(absl::Duration) override { return ProcessExit(); }
};

class RememberingLauncher final : public ProcessLauncher {
 public:
  absl::StatusOr<std::unique_ptr<Process>> Launch(const ProcessSpec& spec, OnExit) override {
    specs.push_back(spec);
    return std::make_unique<NoProcess>();
  }
  std::vector<ProcessSpec> specs;
};

class LocalLauncherTest : public testing::Test {
 protected:
  std::unique_ptr<LocalLauncher> Open(const TlsFiles& tls = {}) {
    auto launcher = LocalLauncher::Create(processes_, tokens_,
                                          {.program = "/usr/bin/slipway-trainer",
                                           .data_dir = folder_.path(),
                                           .registry_address = "registry:7000",
                                           .training_address = "training:7000",
                                           .tls = tls});
    EXPECT_TRUE(launcher.ok()) << launcher.status();
    return *std::move(launcher);
  }

  // Launches attempt 1 of tenants/acme/jobs/j; what it was launched with.
  ProcessSpec Launch(const TlsFiles& tls = {}, const std::string& base = "") {
    v1::Attempt attempt;
    if (!base.empty()) attempt.mutable_base()->set_name(base);
    attempt.set_job("tenants/acme/jobs/j");
    attempt.set_attempt(1);
    attempt.mutable_dataset()->set_name("tenants/acme/datasets/d");
    const auto trainer = Open(tls)->Launch(attempt, "k", absl::Hours(1), [](TrainerEnd) {});
    EXPECT_TRUE(trainer.ok()) << trainer.status();
    return processes_.specs.back();
  }

  std::vector<std::string> ArgumentsWith(const TlsFiles& tls) {
    std::vector<std::string> args = Launch(tls).args;
    // --attempt FILE
    args.erase(args.begin(), args.begin() + 2);
    return args;
  }

  TempDir folder_;
  FakeClock clock_;
  TestTrust trust_{clock_};
  TokenIssuer tokens_{ServiceId::kTraining, trust_.key(ServiceId::kTraining), clock_};
  RememberingLauncher processes_;
};

TEST_F(LocalLauncherTest, TellsTrainersWhatToDialWithOverTheNetwork) {
  EXPECT_THAT(ArgumentsWith({"/tls/tls.crt", "/tls/tls.key", "/tls/ca.crt"}),
              ElementsAre("--certificate-file", "/tls/tls.crt", "--key-file", "/tls/tls.key",
                          "--ca-file", "/tls/ca.crt"));
}

TEST_F(LocalLauncherTest, TellsTrainersNothingOfTlsOnUnixSockets) {
  EXPECT_THAT(ArgumentsWith({}), ElementsAre());
}

TEST_F(LocalLauncherTest, ATrainersTokenSpeaksForItsJobAndItsDatasetWhileItMayRun) {
  Launch();
  const std::string token = ReadFile(folder_ / "jobs/acme/j/token").value();
  const auto verifier = trust_.Verifier(ServiceId::kRegistry);
  const auto who = verifier->Verify(token);
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_EQ((*who)->tenant, "acme");
  EXPECT_EQ((*who)->key_id, "k");
  EXPECT_EQ((*who)->role, Role::kDeveloper);
  EXPECT_EQ((*who)->caller, ServiceId::kTrainer);
  EXPECT_THAT((*who)->scopes, ElementsAre("tenants/acme/jobs/j", "tenants/acme/datasets/d"));
  clock_.Advance(absl::Hours(1) - absl::Seconds(1));
  EXPECT_TRUE(verifier->Verify(token).ok());
  clock_.Advance(kTokenClockSkew + absl::Seconds(2));
  EXPECT_TRUE(absl::IsUnauthenticated(verifier->Verify(token).status()));
}

TEST_F(LocalLauncherTest, ATrainersTokenSpeaksForItsBaseToo) {
  Launch({}, "tenants/acme/models/m/versions/3");
  const auto verifier = trust_.Verifier(ServiceId::kRegistry);
  const auto who = verifier->Verify(ReadFile(folder_ / "jobs/acme/j/token").value());
  ASSERT_TRUE(who.ok()) << who.status();
  EXPECT_THAT((*who)->scopes, ElementsAre("tenants/acme/jobs/j", "tenants/acme/datasets/d",
                                          "tenants/acme/models/m/versions/3"));
}

TEST_F(LocalLauncherTest, ATrainerSeesNothingOfTheServicesEnvironmentButWhatItNeeds) {
  ::setenv("SLIPWAY_TRAINING_DATABASE", "postgresql://user:secret@host/db", 1);
  const ProcessSpec spec = Launch();
  ::unsetenv("SLIPWAY_TRAINING_DATABASE");
  EXPECT_FALSE(spec.inherit_env);
  EXPECT_THAT(spec.env, Contains(Key("PATH")));
  EXPECT_THAT(spec.env, Not(Contains(Key("SLIPWAY_TRAINING_DATABASE"))));
}

TEST_F(LocalLauncherTest, AfterARestartOnlyFilesOfJobsThatGoOnStay) {
  Launch();
  const std::string other = folder_ / "jobs/acme/over";
  std::filesystem::create_directories(other);
  ASSERT_TRUE(Open()->DiscardAllBut({{"acme", "j"}}).ok());
  EXPECT_TRUE(std::filesystem::exists(folder_ / "jobs/acme/j/token"));
  EXPECT_FALSE(std::filesystem::exists(other));
}

}  // namespace
}  // namespace slipway::training
