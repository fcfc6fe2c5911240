#ifndef SLIPWAY_COMMON_PIPELINE_TRIM_H_
#define SLIPWAY_COMMON_PIPELINE_TRIM_H_

#include <string_view>

namespace slipway::pipeline {

/// Without the blanks around it.
inline std::string_view Trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return "";
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

}  // namespace slipway::pipeline

#endif  // SLIPWAY_COMMON_PIPELINE_TRIM_H_
