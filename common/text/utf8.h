#ifndef SLIPWAY_COMMON_TEXT_UTF8_H_
#define SLIPWAY_COMMON_TEXT_UTF8_H_

#include <cstddef>
#include <string_view>

namespace slipway {

/// How many bytes the character takes that `text` begins with; 0 where it begins with none (RFC
/// 3629: no overlong forms, no surrogates, nothing past U+10FFFF), or is empty.
size_t Utf8CharacterSize(std::string_view text);

/// Where the text first breaks UTF-8, or its size.
size_t FindBrokenUtf8(std::string_view text);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_TEXT_UTF8_H_
