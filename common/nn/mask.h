#ifndef SLIPWAY_COMMON_NN_MASK_H_
#define SLIPWAY_COMMON_NN_MASK_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/fields/field_reader.h"
#include "common/status/status.h"

namespace slipway::nn {

enum class MaskMethod {
  kHash,        // a text becomes its HMAC-SHA-256
  kRedact,      // every text becomes "redacted": that there is one is all that stays
  kGeneralize,  // a number becomes its range, a text its beginning, a date its month, ...
};

/// What becomes of a column's cells before anything else sees them, in training as in serving: a
/// part of the column, see docs/adr/0016. What is missing stays missing. A value; any thread.
struct Mask {
  MaskMethod method = MaskMethod::kRedact;
  std::string key;     // hash
  double width = 0;    // generalize, of numbers: they become the multiple of it that is not above
  int64_t prefix = 0;  // generalize, of categories: how many characters are left
  std::string unit;  // generalize, of dates: they become the first day of their year or month, ...

  bool operator==(const Mask&) const = default;

  static constexpr Name<MaskMethod> kMethods[] = {{"hash", MaskMethod::kHash},
                                                  {"redact", MaskMethod::kRedact},
                                                  {"generalize", MaskMethod::kGeneralize}};
  static constexpr std::string_view kUnits[] = {"year", "month", "day"};
  static constexpr int64_t kMaxPrefix = 1000;

  template <class V>
  void Describe(V& v) {
    v.Enum("method", method, kMethods, Presence::kRequired);
    v.Text("key", key, {.max = 128});
    v.Real("width", width, {.min = 0, .max = 1e30});
    v.Int("prefix", prefix, {.min = 0, .max = kMaxPrefix});
    v.Text("unit", unit, {.max = 16});
  }

  /// Whether it is one for cells of that kind. Errors: InvalidField below `path`.
  absl::Status CheckForNumbers(const std::string& path) const;
  absl::Status CheckForCategories(const std::string& path) const;
  absl::Status CheckForDates(const std::string& path) const;

  /// Of a number; NaN stays NaN. What comes out stays the same when it is masked again.
  float Apply(float number) const;
  /// Of a category or, with a unit, of a date; what is no date is missing.
  std::string Apply(std::string_view text) const;
};

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_MASK_H_
