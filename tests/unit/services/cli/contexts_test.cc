#include "services/cli/contexts.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway::cli {
namespace {

class ContextsTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = dir_ / "home/config.yaml";
    ::setenv("SLIPWAY_CONFIG", path_.c_str(), 1);
    ::unsetenv("SLIPWAY_URL");
    ::unsetenv("SLIPWAY_API_KEY");
  }
  void TearDown() override {
    ::unsetenv("SLIPWAY_CONFIG");
    ::unsetenv("SLIPWAY_URL");
    ::unsetenv("SLIPWAY_API_KEY");
  }
  TempDir dir_;
  std::string path_;
};

TEST_F(ContextsTest, KeepsWhatWasSavedForThisUserOnly) {
  ContextFile file;
  file.current = "home";
  file.contexts["home"] = {.url = "http://h:1", .api_key = "slw_x", .ca_file = ""};
  ASSERT_TRUE(file.Save(path_).ok());
  struct stat info {};
  ASSERT_EQ(::stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto context = ResolveContext("", "");
  ASSERT_TRUE(context.ok()) << context.status();
  EXPECT_EQ(context->url, "http://h:1");
  EXPECT_EQ(context->api_key, "slw_x");
}

TEST_F(ContextsTest, LetsTheEnvironmentOverrideTheCurrentContext) {
  ContextFile file;
  file.current = "home";
  file.contexts["home"] = {.url = "http://h:1", .api_key = "slw_x", .ca_file = ""};
  ASSERT_TRUE(file.Save(path_).ok());
  ::setenv("SLIPWAY_API_KEY", "slw_env", 1);
  EXPECT_EQ(ResolveContext("", "")->api_key, "slw_env");
  EXPECT_EQ(ResolveContext("", "h:2")->url, "http://h:2");
  EXPECT_EQ(ResolveContext("home", "")->api_key, "slw_x") << "a context that was named wins";
}

TEST_F(ContextsTest, SaysWhatToDoWhereNoPlatformIsKnown) {
  const auto context = ResolveContext("", "");
  EXPECT_TRUE(absl::IsFailedPrecondition(context.status()));
  EXPECT_NE(std::string(context.status().message()).find("SLIPWAY_URL"), std::string::npos);
}

TEST_F(ContextsTest, NamesTheFileAndTheFieldThatIsWrong) {
  ASSERT_TRUE(ContextFile().Save(path_).ok());
  std::ofstream(path_) << "contexts:\n- name: home\n  adress: x\n";
  const std::string message(ResolveContext("", "http://x").status().message());
  EXPECT_NE(message.find(path_), std::string::npos) << message;
  EXPECT_NE(message.find("contexts[0].adress"), std::string::npos) << message;
}

TEST_F(ContextsTest, AnUnknownContextIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ResolveContext("nowhere", "").status()));
}

}  // namespace
}  // namespace slipway::cli
