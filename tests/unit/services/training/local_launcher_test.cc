#include "services/training/local_launcher.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::training {
namespace {

using ::testing::ElementsAre;

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
  std::vector<std::string> ArgumentsWith(const TlsFiles& tls) {
    auto launcher = LocalLauncher::Create(processes_, tokens_,
                                          {.program = "/usr/bin/slipway-trainer",
                                           .data_dir = folder_.path(),
                                           .registry_address = "registry:7000",
                                           .training_address = "training:7000",
                                           .tls = tls});
    EXPECT_TRUE(launcher.ok()) << launcher.status();
    v1::Attempt attempt;
    attempt.set_job("tenants/acme/jobs/j");
    attempt.set_attempt(1);
    attempt.mutable_dataset()->set_name("tenants/acme/datasets/d");
    const auto trainer = (*launcher)->Launch(attempt, "k", absl::Hours(1), [](TrainerEnd) {});
    EXPECT_TRUE(trainer.ok()) << trainer.status();
    std::vector<std::string> args = processes_.specs.back().args;
    // --attempt FILE
    args.erase(args.begin(), args.begin() + 2);
    return args;
  }

  TempDir folder_;
  TestTrust trust_;
  TokenIssuer tokens_{ServiceId::kTraining, trust_.key(ServiceId::kTraining), Clock::Real()};
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

}  // namespace
}  // namespace slipway::training
