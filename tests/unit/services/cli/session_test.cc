#include "services/cli/session.h"

#include <cstdlib>
#include <functional>
#include <sstream>
#include <vector>

#include "CLI/CLI.hpp"
#include "gtest/gtest.h"
#include "services/cli/commands.h"

namespace slipway::cli {
namespace {

class SessionTest : public testing::Test {
 protected:
  SessionTest() {
    // Help shows the default data directory.
    ::setenv("HOME", "/srv/ann", 1);
    ::unsetenv("XDG_DATA_HOME");
    root_.name("slipway");
    AddAllCommands(root_, session_);
  }
  std::ostringstream out_;
  std::ostringstream err_;
  Session session_{out_, err_};
  CLI::App root_{"test"};
};

TEST_F(SessionTest, EveryVerbHasAnExample) {
  const std::function<void(const CLI::App&)> check = [&](const CLI::App& command) {
    const auto verbs = command.get_subcommands([](const CLI::App*) { return true; });
    if (verbs.empty()) {
      EXPECT_NE(command.help().find("Example:\n  s"), std::string::npos) << command.get_name();
      EXPECT_FALSE(command.get_description().empty()) << command.get_name();
    }
    for (const CLI::App* verb : verbs) check(*verb);
  };
  check(root_);
}

TEST_F(SessionTest, PrintsTheVersionAsTextAndAsJson) {
  root_.parse("version", false);
  EXPECT_TRUE(session_.Run().ok());
  EXPECT_EQ(out_.str().rfind("slipway ", 0), 0u);
  out_.str("");
  root_.parse("version -o json", false);
  EXPECT_TRUE(session_.Run().ok());
  EXPECT_EQ(out_.str().rfind("{", 0), 0u);
}

TEST_F(SessionTest, TakesTheTenantBeforeOrAfterTheVerb) {
  root_.parse("key list --tenant acme", false);
  EXPECT_EQ(session_.Path("keys"), "/api/v1/tenants/acme/keys");
}

TEST_F(SessionTest, RefusesAnUnknownVerbAndAnUnknownRole) {
  EXPECT_THROW(root_.parse("fly", false), CLI::ParseError);
  EXPECT_THROW(root_.parse("key create --role king", false), CLI::ParseError);
}

TEST_F(SessionTest, NamesWhatItDoesNotKnow) {
  for (const char* line : {"fly", "dataset fly"}) {
    try {
      root_.parse(line, false);
      ADD_FAILURE() << line << " was taken";
    } catch (const CLI::ParseError& error) {
      std::ostringstream err;
      root_.exit(error, out_, err);
      EXPECT_EQ(err.str(), "slipway: 'fly' is not known; see slipway --help\n");
    }
  }
}

TEST_F(SessionTest, HelpFitsAnOrdinaryTerminal) {
  const std::function<void(const CLI::App&)> check = [&](const CLI::App& command) {
    std::istringstream help(command.help());
    for (std::string line; std::getline(help, line);) {
      // An example is one line, to be copied.
      if (line.rfind("  slipway ", 0) == 0) continue;
      EXPECT_LE(line.size(), 80u) << line;
    }
    for (const CLI::App* verb : command.get_subcommands([](const CLI::App*) { return true; })) {
      check(*verb);
    }
  };
  check(root_);
}

TEST(ExitCodeTest, TellsScriptsWhatWentWrong) {
  EXPECT_EQ(ExitCode(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCode(absl::InternalError("")), 1);
  EXPECT_EQ(ExitCode(absl::InvalidArgumentError("")), 2);
  EXPECT_EQ(ExitCode(absl::UnavailableError("")), 3);
  EXPECT_EQ(ExitCode(absl::UnauthenticatedError("")), 4);
  EXPECT_EQ(ExitCode(absl::PermissionDeniedError("")), 4);
  EXPECT_EQ(ExitCode(absl::NotFoundError("")), 5);
}

}  // namespace
}  // namespace slipway::cli
