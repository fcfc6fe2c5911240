#include "common/nn/mask.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "common/crypto/encoding.h"
#include "common/crypto/hash.h"
#include "common/fields/json.h"
#include "common/nn/column.h"
#include "fmt/format.h"

namespace slipway::nn {
namespace {

constexpr char kRedacted[] = "redacted";
// Of a hash: two texts with the same one do not turn up.
constexpr size_t kHashBytes = 16;
// How near a quotient is to a whole number that it means: floats are good for 7 digits.
constexpr double kWholeWithin = 1e-6;

// UTF-8.
std::string FirstCharacters(std::string_view text, int64_t count) {
  size_t end = 0;
  while (end < text.size()) {
    const bool begins = (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
    if (begins && count-- == 0) break;
    ++end;
  }
  return std::string(text.substr(0, end));
}

std::string FirstDay(std::string_view text, std::string_view unit) {
  const auto date = ParseDate(text);
  if (!date) return "";
  return fmt::format("{:04}-{:02}-{:02}", date->year(), unit == "year" ? 1 : date->month(),
                     unit == "day" ? date->day() : 1);
}

}  // namespace

absl::Status Mask::CheckForNumbers(const std::string& path) const {
  if (method == MaskMethod::kGeneralize && width > 0) return absl::OkStatus();
  return InvalidField(JoinPath(path, "mask"), "must generalize numbers by a width");
}

absl::Status Mask::CheckForCategories(const std::string& path) const {
  if (method == MaskMethod::kRedact || (method == MaskMethod::kHash && !key.empty()) ||
      (method == MaskMethod::kGeneralize && prefix > 0)) {
    return absl::OkStatus();
  }
  return InvalidField(JoinPath(path, "mask"), "must have a key to hash by, or a prefix to leave");
}

absl::Status Mask::CheckForDates(const std::string& path) const {
  if (method == MaskMethod::kGeneralize &&
      std::find(std::begin(kUnits), std::end(kUnits), unit) != std::end(kUnits)) {
    return absl::OkStatus();
  }
  return InvalidField(JoinPath(path, "mask"), "must generalize dates to year, month or day");
}

float Mask::Apply(float number) const {
  const double quotient = number / width;
  const double whole = std::nearbyint(quotient);
  const bool is_whole =
      std::abs(quotient - whole) <= kWholeWithin * std::max(1.0, std::abs(quotient));
  return static_cast<float>((is_whole ? whole : std::floor(quotient)) * width);
}

std::string Mask::Apply(std::string_view text) const {
  if (text.empty()) return "";
  switch (method) {
    case MaskMethod::kHash:
      return HexEncode(AsView(HmacSha256(key, text)).substr(0, kHashBytes));
    case MaskMethod::kRedact:
      return kRedacted;
    case MaskMethod::kGeneralize:
      return unit.empty() ? FirstCharacters(text, prefix) : FirstDay(text, unit);
  }
  return "";
}

}  // namespace slipway::nn
