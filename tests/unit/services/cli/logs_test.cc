#include "services/cli/up/logs.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway::cli {
namespace {

TEST(LogsTest, MergesTheServicesByTime) {
  TempDir dir;
  std::filesystem::create_directories(dir / "logs");
  std::ofstream(dir / "logs/registry.jsonl")
      << R"({"time":"2026-01-31T12:00:00.300000Z","level":"info","service":"registry","event":"b"})"
      << "\n";
  std::ofstream(dir / "logs/gateway.jsonl")
      << R"({"time":"2026-01-31T12:00:00.100000Z","level":"info","service":"gateway","event":"a","n":1})"
      << "\n"
      << R"({"time":"2026-01-31T12:00:00.500000Z","level":"error","service":"gateway","event":"c"})"
      << "\n";
  LogOptions options;
  options.data_dir = dir.path().string();
  std::ostringstream out;
  ASSERT_TRUE(PrintLogs(options, out).ok());
  EXPECT_EQ(out.str(),
            "12:00:00.100 gateway    info    a n=1\n"
            "12:00:00.300 registry   info    b\n"
            "12:00:00.500 gateway    error   c\n");
  out.str("");
  options.lines = 1;
  ASSERT_TRUE(PrintLogs(options, out).ok());
  EXPECT_EQ(out.str(), "12:00:00.500 gateway    error   c\n");
}

TEST(LogsTest, SaysThatAServiceHasNoLog) {
  TempDir dir;
  std::filesystem::create_directories(dir / "logs");
  LogOptions options;
  options.data_dir = dir.path().string();
  options.service = "registry";
  std::ostringstream out;
  EXPECT_TRUE(absl::IsNotFound(PrintLogs(options, out)));
}

TEST(LogsTest, ShowsALineThatIsNoJsonAsItIs) {
  EXPECT_EQ(ReadableLogLine("gateway", "terminate called"), "gateway    terminate called");
}

}  // namespace
}  // namespace slipway::cli
