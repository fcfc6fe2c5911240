#ifndef SLIPWAY_TESTS_UNIT_COMMON_METRICS_PROMTOOL_H_
#define SLIPWAY_TESTS_UNIT_COMMON_METRICS_PROMTOOL_H_

#include <cstdlib>
#include <string>

#include "common/files/files.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway {

/// What `promtool check metrics` says about a text; "" when it is content.
inline std::string PromtoolSays(const std::string& text) {
  const TempDir dir;
  EXPECT_TRUE(WriteFileAtomically(dir / "metrics", text).ok());
  const std::string command =
      "promtool check metrics < " + (dir / "metrics") + " > " + (dir / "out") + " 2>&1";
  const int code = std::system(command.c_str());
  const std::string out = *ReadFile(dir / "out");
  return code == 0 && out.empty() ? "" : out + " (exit " + std::to_string(code) + ")";
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_UNIT_COMMON_METRICS_PROMTOOL_H_
