#include "common/config/service_main.h"

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/config/harbour_config.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Outcome {
  int code;
  std::string out;
  std::string err;
  bool ran = false;
};

Outcome Main(std::vector<const char*> arguments,
             std::function<absl::Status(const HarbourConfig&)> run = nullptr) {
  arguments.insert(arguments.begin(), "slipway-harbour");
  Outcome outcome;
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  outcome.code =
      ServiceMain<HarbourConfig>("harbour", static_cast<int>(arguments.size()), arguments.data(),
                                 [&](const HarbourConfig& config) -> absl::Status {
                                   outcome.ran = true;
                                   return run ? run(config) : absl::OkStatus();
                                 });
  std::fflush(stdout);
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  return outcome;
}

TEST(ServiceMainTest, RunsWithTheConfig) {
  int cranes = 0;
  const Outcome outcome = Main({"--set", "cranes=5"}, [&](const HarbourConfig& config) {
    cranes = config.cranes;
    return absl::OkStatus();
  });
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(cranes, 5);
}

TEST(ServiceMainTest, PrintsTheConfigAndStops) {
  const Outcome yaml = Main({"--print-config"});
  EXPECT_EQ(yaml.code, 0);
  EXPECT_FALSE(yaml.ran);
  EXPECT_THAT(yaml.out,
              StartsWith("# Where it listens\nlisten: \"unix:/run/slipway/harbour.sock\""));
  const Outcome json = Main({"--print-config=json", "--set=cranes=4"});
  EXPECT_THAT(json.out, HasSubstr("\"default\": 4"));
  EXPECT_FALSE(json.ran);
}

TEST(ServiceMainTest, PrintsTheConfigAlsoWhereItsSecretsAreAbsent) {
  EXPECT_EQ(Main({"--print-config", "--set=pepper_file=/no/such/file"}).code, 0);
}

TEST(ServiceMainTest, AnswersHelpAndVersion) {
  EXPECT_THAT(Main({"--help"}).out, StartsWith("Usage: slipway-harbour"));
  EXPECT_THAT(Main({"--version"}).out, ::testing::MatchesRegex("slipway-harbour [0-9.]+\n"));
}

TEST(ServiceMainTest, RefusesToStartWithABadConfig) {
  for (const char* bad : {"--set=cranes=x", "--set=pepper_file=/no/such/file", "--set=cranes=13",
                          "--nonsense", "--set=log.file=/proc/no/such"}) {
    const Outcome outcome = Main({bad});
    EXPECT_EQ(outcome.code, 2) << bad;
    EXPECT_FALSE(outcome.ran) << bad;
    EXPECT_THAT(outcome.err, HasSubstr("slipway-harbour does not start:\n  "));
  }
}

TEST(ServiceMainTest, EndsWithOneAndALogLineWhenRunFails) {
  const Outcome failed =
      Main({}, [](const HarbourConfig&) { return absl::InternalError("the quay broke"); });
  EXPECT_EQ(failed.code, 1);
  EXPECT_THAT(failed.err, HasSubstr("\"event\":\"service_failed\""));
  EXPECT_THAT(failed.err, HasSubstr("the quay broke"));
  const Outcome thrown =
      Main({}, [](const HarbourConfig&) -> absl::Status { throw std::runtime_error("a wave"); });
  EXPECT_EQ(thrown.code, 1);
  EXPECT_THAT(thrown.err, HasSubstr("a wave"));
}

TEST(ServiceMainTest, TellsAPersonTooWhenTheLogIsAFile) {
  const TempDir dir;
  const std::string setting = "--set=log.file=" + (dir / "harbour.jsonl");
  const Outcome outcome = Main({setting.c_str()}, [](const HarbourConfig&) {
    return absl::InternalError("the quay broke");
  });
  EXPECT_THAT(outcome.err, HasSubstr("slipway-harbour failed: the quay broke"));
  EXPECT_THAT(*ReadFile(dir / "harbour.jsonl"), HasSubstr("service_failed"));
}

}  // namespace
}  // namespace slipway
