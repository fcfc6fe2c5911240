#include "common/log/log.h"

#include <filesystem>
#include <fstream>
#include <limits>
#include <stop_token>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "common/config/config.h"
#include "common/crypto/secret.h"
#include "common/fields/json.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class LogTest : public ::testing::Test {
 protected:
  LogTest() { config_.file = dir_ / "registry.jsonl"; }
  ~LogTest() override { EXPECT_TRUE(InitLogging("test", LogConfig()).ok()); }

  void Init() { ASSERT_TRUE(InitLogging("registry", config_).ok()); }

  // Each line as strict JSON: a duplicate key or a broken escape fails here.
  std::vector<json> Lines() const {
    std::vector<json> lines;
    std::ifstream file(config_.file);
    for (std::string line; std::getline(file, line);) {
      const auto parsed = ParseJson(line, "line");
      EXPECT_TRUE(parsed.ok()) << parsed.status() << "\n" << line;
      lines.push_back(parsed.ok() ? *parsed : json());
    }
    return lines;
  }

  const TempDir dir_;
  LogConfig config_;
};

TEST_F(LogTest, WritesOneJsonObjectALine) {
  Init();
  const std::string job = "tenants/acme/jobs/j1";
  Log(Severity::kInfo, "job_started",
      {{"job", job},
       {"request_id", "r-1"},
       {"attempt", 2},
       {"resumed", true},
       {"loss", 0.5},
       {"bytes", size_t{7}},
       {"took", absl::Milliseconds(1500)},
       {"due", absl::FromUnixSeconds(0)},
       {"error", absl::NotFoundError("no such job")}});
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  json line = lines[0];
  EXPECT_EQ(line["time"].get<std::string>().size(),
            std::string("2026-01-31T12:00:00.123456Z").size());
  line.erase("time");
  EXPECT_EQ(line, json::parse(R"({
    "level":"info","service":"registry","event":"job_started","job":"tenants/acme/jobs/j1",
    "request_id":"r-1","attempt":2,"resumed":true,"loss":0.5,"bytes":7,"took":1.5,
    "due":"1970-01-01T00:00:00.000000Z","error":"NOT_FOUND: no such job"})"));
}

TEST_F(LogTest, KeepsALineALineWhateverACallerSends) {
  Init();
  const std::string hostile = "a\"b\\c\nd\r\t\x01\x1b[31m{\"event\":\"key_made\"}\x7f";
  Log(Severity::kWarning, "call_failed", {{"message", hostile}});
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["message"], hostile);
  EXPECT_EQ(lines[0]["event"], "call_failed");
}

TEST_F(LogTest, ReplacesBytesThatAreNotUtf8) {
  Init();
  Log(Severity::kInfo, "odd_seen", {{"text", std::string("ok \xff\xc0\x80 ok")}});
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0]["text"].get<std::string>(), HasSubstr("\xef\xbf\xbd"));
}

TEST_F(LogTest, CutsALongTextAndSaysSo) {
  Init();
  Log(Severity::kInfo, "long_seen", {{"text", std::string(1 << 20, 'x')}});
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  const auto text = lines[0]["text"].get<std::string>();
  EXPECT_LT(text.size(), 17u << 10);
  EXPECT_THAT(text, HasSubstr("(1048576 bytes in all)"));
}

TEST_F(LogTest, WritesNumbersThatJsonHasNot) {
  Init();
  Log(Severity::kInfo, "loss_seen",
      {{"a", std::numeric_limits<double>::infinity()},
       {"b", std::numeric_limits<double>::quiet_NaN()},
       {"c", std::numeric_limits<uint64_t>::max()},
       {"d", std::numeric_limits<int64_t>::min()}});
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["a"], "inf");
  EXPECT_EQ(lines[0]["b"], "nan");
  EXPECT_EQ(lines[0]["c"], std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(lines[0]["d"], std::numeric_limits<int64_t>::min());
}

TEST_F(LogTest, LeavesOutWhatIsLessSevereThanTheLevel) {
  config_.level = "warning";
  Init();
  EXPECT_FALSE(LogEnabled(Severity::kInfo));
  EXPECT_TRUE(LogEnabled(Severity::kWarning));
  Log(Severity::kDebug, "a");
  Log(Severity::kInfo, "b");
  Log(Severity::kWarning, "c");
  Log(Severity::kError, "d");
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["event"], "c");
  EXPECT_EQ(lines[1]["level"], "error");
}

TEST_F(LogTest, PutsAFileAsideAtItsSizeAndKeepsAFew) {
  config_.max_file_bytes = 4096;
  config_.max_files = 2;
  Init();
  for (int i = 0; i < 200; ++i) Log(Severity::kInfo, "blob_written", {{"i", i}});
  std::vector<std::string> names;
  for (const auto& file : std::filesystem::directory_iterator(dir_.path())) {
    names.push_back(file.path().filename().string());
    EXPECT_LE(file.file_size(), 4096u);
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("registry.jsonl", "registry.1.jsonl",
                                                     "registry.2.jsonl"));
  EXPECT_EQ(Lines().back()["i"], 199);
}

TEST_F(LogTest, KeepsLinesWholeFromManyThreads) {
  Init();
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < 250; ++i) {
          Log(Severity::kInfo, "step_done", {{"thread", t}, {"text", std::string(200, 'x')}});
        }
      });
    }
  }
  EXPECT_EQ(Lines().size(), 1000u);
}

TEST_F(LogTest, MayBeSetUpAgainWhileOthersWrite) {
  Init();
  std::jthread writer([](std::stop_token stop) {
    while (!stop.stop_requested()) Log(Severity::kInfo, "step_done");
  });
  for (int i = 0; i < 20; ++i) Init();
}

TEST_F(LogTest, RefusesAnUnknownLevelAndAFileThatCannotBe) {
  config_.level = "loud";
  EXPECT_THAT(std::string(InitLogging("x", config_).message()), HasSubstr("log.level"));
  config_.level = "info";
  config_.file = "/proc/no/such.jsonl";
  EXPECT_THAT(std::string(InitLogging("x", config_).message()), HasSubstr("/proc/no"));
}

TEST_F(LogTest, TakesNoSecret) {
  static_assert(std::is_constructible_v<LogValue, std::string>);
  static_assert(std::is_constructible_v<LogValue, bool>);
  static_assert(!std::is_constructible_v<LogValue, Secret>);
  static_assert(!std::is_constructible_v<LogValue, const Secret&>);
  static_assert(!std::is_constructible_v<LogValue, SecretFile>);
  static_assert(!std::is_constructible_v<LogValue, const char* const*>);
}

}  // namespace
}  // namespace slipway
