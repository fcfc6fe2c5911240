#ifndef SLIPWAY_COMMON_TEXT_TEXT_H_
#define SLIPWAY_COMMON_TEXT_TEXT_H_

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace slipway {

/// Without the spaces and tabs around it.
std::string_view WithoutBlanks(std::string_view text);

/// The number that all of `text` is, as std::from_chars reads it: nothing around it, no '+', no
/// number that T cannot hold.
template <class T>
std::optional<T> ParseNumber(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace slipway

#endif  // SLIPWAY_COMMON_TEXT_TEXT_H_
