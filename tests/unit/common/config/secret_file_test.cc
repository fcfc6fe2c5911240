#include <sys/stat.h>

#include <ostream>
#include <string>
#include <type_traits>

#include "common/config/config.h"
#include "common/files/files.h"
#include "common/log/log.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/config/harbour_config.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <class T>
concept Streamable = requires(std::ostream& out, const T& value) { out << value; };

class SecretFileTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& text, mode_t mode = 0600) {
    const std::string path = dir_ / "pepper";
    EXPECT_TRUE(WriteFileAtomically(path, text).ok());
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  std::string LogOf(const std::function<void()>& run) {
    LogConfig log;
    log.file = dir_ / "log.jsonl";
    EXPECT_TRUE(InitLogging("test", log).ok());
    run();
    EXPECT_TRUE(InitLogging("test", LogConfig()).ok());
    return *ReadFile(log.file);
  }

  const TempDir dir_;
};

TEST_F(SecretFileTest, ReadsTheFileWithoutTheNewlineAtItsEnd) {
  SecretFile file(Write("pep per\r\n\n"));
  ASSERT_TRUE(file.Load().ok());
  EXPECT_EQ(file.secret().Reveal(), "pep per");
}

TEST_F(SecretFileTest, RefusesAnEmptyFileAndAnAbsentOne) {
  for (const char* empty : {"", "\n", "\r\n\n"}) {
    EXPECT_THAT(std::string(SecretFile(Write(empty)).Load().message()), HasSubstr("is empty"));
  }
  EXPECT_THAT(std::string(SecretFile(dir_ / "absent").Load().message()), HasSubstr("absent"));
}

TEST_F(SecretFileTest, IsAbsentWhereNoneIsConfigured) {
  SecretFile file;
  EXPECT_TRUE(file.Load().ok());
  EXPECT_FALSE(file.configured());
  EXPECT_TRUE(file.secret().empty());
}

TEST_F(SecretFileTest, WarnsWhereOthersMayReadIt) {
  EXPECT_EQ(LogOf([&] { EXPECT_TRUE(SecretFile(Write("x", 0600)).Load().ok()); }), "");
  EXPECT_EQ(LogOf([&] { EXPECT_TRUE(SecretFile(Write("x", 0440)).Load().ok()); }), "");
  const std::string log = LogOf([&] { EXPECT_TRUE(SecretFile(Write("grass", 0644)).Load().ok()); });
  EXPECT_THAT(log, HasSubstr("secret_file_found_open"));
  EXPECT_THAT(log, HasSubstr("\"0644\""));
  EXPECT_THAT(log, Not(HasSubstr("grass")));
}

TEST_F(SecretFileTest, PrintsNowhere) {
  static_assert(!Streamable<SecretFile>);
  static_assert(!fmt::is_formattable<SecretFile>::value);
  HarbourConfig config;
  config.pepper_file = SecretFile(Write("grass"));
  ASSERT_TRUE(config.pepper_file.Load().ok());
  ConfigFields fields;
  config.Describe(fields);
  EXPECT_THAT(fields.ToYaml() + fields.ToJson("x") + fields.Help("x"), Not(HasSubstr("grass")));
}

TEST_F(SecretFileTest, IsReadAtLoadWhereverItStands) {
  HarbourConfig config;
  config.pepper_file = SecretFile(Write("grass"));
  config.berths.resize(2);
  config.berths[1].pass = SecretFile(dir_ / "absent");
  ConfigFields fields;
  config.Describe(fields);
  EXPECT_THAT(std::string(fields.LoadSecrets().message()), HasSubstr("berths[1]: pass: "));
  EXPECT_EQ(config.pepper_file.secret().Reveal(), "grass");
}

}  // namespace
}  // namespace slipway
