#include "services/gateway/identity/api_key.h"

#include <algorithm>
#include <array>

#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "fmt/format.h"

namespace slipway::gateway {
namespace {

constexpr std::string_view kPrefix = "slw_";
constexpr std::string_view kBase62 =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr size_t kMaxEnvironment = 16;
constexpr size_t kIdSize = 16;
constexpr size_t kSecretSize = 32;
constexpr size_t kChecksumSize = 6;

std::string RandomText(std::string_view alphabet, size_t size) {
  // Bytes that would favour the alphabet's first letters are thrown away.
  const size_t fair = 256 / alphabet.size() * alphabet.size();
  std::string text;
  while (text.size() < size) {
    for (const char c : RandomBytes(2 * size)) {
      const auto byte = static_cast<unsigned char>(c);
      if (byte < fair && text.size() < size) text += alphabet[byte % alphabet.size()];
    }
  }
  return text;
}

std::array<char, kChecksumSize> Checksum(std::string_view text) {
  std::array<char, kChecksumSize> digits;
  uint32_t rest = Crc32(text);
  for (size_t i = kChecksumSize; i-- > 0;) {
    digits[i] = kBase62[rest % 62];
    rest /= 62;
  }
  return digits;
}

bool AllIn(std::string_view text, std::string_view alphabet) {
  return text.find_first_not_of(alphabet) == std::string_view::npos;
}

}  // namespace

bool IsKeyEnvironment(std::string_view text) {
  return !text.empty() && text.size() <= kMaxEnvironment &&
         AllIn(text, "abcdefghijklmnopqrstuvwxyz0123456789");
}

NewApiKey MakeApiKey(std::string_view environment) {
  std::string id = "k" + RandomText(kBase32, kIdSize - 1);
  Secret text = MakeKeyText(environment, id);
  return {std::move(id), std::move(text)};
}

Secret MakeKeyText(std::string_view environment, std::string_view id) {
  std::string text =
      fmt::format("{}{}_{}_{}", kPrefix, environment, id, RandomText(kBase62, kSecretSize));
  const auto checksum = Checksum(text);
  text.append(checksum.data(), checksum.size());
  return Secret(std::move(text));
}

std::optional<std::string_view> KeyIdOf(std::string_view text) {
  constexpr size_t kTail = 1 + kIdSize + 1 + kSecretSize + kChecksumSize;
  if (!text.starts_with(kPrefix) || text.size() < kPrefix.size() + 1 + kTail ||
      text.size() > kPrefix.size() + kMaxEnvironment + kTail) {
    return std::nullopt;
  }
  const std::string_view tail = text.substr(text.size() - kTail);
  const std::string_view id = tail.substr(1, kIdSize);
  const std::string_view secret = tail.substr(kIdSize + 2);
  if (tail.front() != '_' || tail[kIdSize + 1] != '_' || id.front() != 'k' || !AllIn(id, kBase32) ||
      !AllIn(secret, kBase62) ||
      !IsKeyEnvironment(text.substr(kPrefix.size(), text.size() - kTail - kPrefix.size()))) {
    return std::nullopt;
  }
  const auto checksum = Checksum(text.substr(0, text.size() - kChecksumSize));
  if (!std::equal(checksum.begin(), checksum.end(), text.end() - kChecksumSize)) {
    return std::nullopt;
  }
  return id;
}

}  // namespace slipway::gateway
