#include "common/text/utf8.h"

namespace slipway {

size_t Utf8CharacterSize(std::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const size_t size = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (text.size() < size) return 0;
  for (size_t i = 1; i < size; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if (next < 0x80 || next > 0xbf) return 0;
    // Overlong forms, surrogates, beyond U+10FFFF.
    if (i == 1 && ((lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f) ||
                   (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f))) {
      return 0;
    }
  }
  return size;
}

size_t FindBrokenUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t size = Utf8CharacterSize(text.substr(at));
    if (size == 0) return at;
    at += size;
  }
  return at;
}

}  // namespace slipway
