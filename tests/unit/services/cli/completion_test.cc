#include "services/cli/completion.h"

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <sstream>

#include "CLI/CLI.hpp"
#include "gtest/gtest.h"
#include "services/cli/commands.h"
#include "tests/support/temp_dir.h"

namespace slipway::cli {
namespace {

// The scripts are run by the shells themselves.
class CompletionTest : public testing::Test {
 protected:
  CompletionTest() {
    root_.name("slipway");
    AddAllCommands(root_, session_);
  }

  static std::string Run(const std::string& command) {
    std::string output;
    std::FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
    std::array<char, 4096> buffer;
    while (const size_t size = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
      output.append(buffer.data(), size);
    }
    const int status = ::pclose(pipe);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << command << "\n" << output;
    return output;
  }

  // What bash offers after `words`, the last of which is being typed.
  std::string Bash(const std::vector<std::string>& words) {
    const std::string script = dir_ / "complete.bash";
    std::ofstream file(script);
    file << BashCompletion(root_) << "COMP_WORDS=(";
    for (const std::string& word : words) file << "'" << word << "' ";
    file << ")\nCOMP_CWORD=" << words.size() - 1
         << "\n_slipway\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    file.close();
    return Run("bash --norc " + script);
  }

  // What zsh offers: _describe is replaced by a printer, everything else is zsh's own.
  std::string Zsh(const std::vector<std::string>& words) {
    const std::string script = dir_ / "complete.zsh";
    std::ofstream file(script);
    file << "autoload -Uz compinit; compinit -D -u\n"
         << ZshCompletion(root_) << "_describe() { print -rl -- ${(P)2} }\nwords=(";
    for (const std::string& word : words) file << "'" << word << "' ";
    file << ")\nCURRENT=" << words.size() << "\n_slipway\n";
    file.close();
    return Run("zsh -f " + script);
  }

  TempDir dir_;
  std::ostringstream out_;
  Session session_{out_, out_};
  CLI::App root_{"test"};
};

TEST_F(CompletionTest, BashOffersVerbsThatBeginSo) {
  EXPECT_EQ(Bash({"slipway", "ten"}), "tenant\n");
  EXPECT_EQ(Bash({"slipway", "key", "re"}), "revoke\nrecover\n");
}

TEST_F(CompletionTest, BashOffersOptionsOfTheVerbAndGlobalOnes) {
  EXPECT_EQ(Bash({"slipway", "job", "watch", "--tenan"}), "--tenant\n");
  EXPECT_EQ(Bash({"slipway", "up", "--data-dir", "/tmp", "--metr"}), "--metrics-port\n");
}

TEST_F(CompletionTest, ZshOffersVerbsWithTheirMeaning) {
  const std::string offered = Zsh({"slipway", "job", ""});
  EXPECT_NE(offered.find("cancel:Stops a job for good\n"), std::string::npos) << offered;
  EXPECT_EQ(offered.find("\ntenant:"), std::string::npos) << offered;
}

TEST_F(CompletionTest, ZshOffersOptions) {
  const std::string offered = Zsh({"slipway", "up", "--"});
  EXPECT_NE(offered.find("--ready-file:"), std::string::npos) << offered;
}

}  // namespace
}  // namespace slipway::cli
