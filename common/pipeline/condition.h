#ifndef SLIPWAY_COMMON_PIPELINE_CONDITION_H_
#define SLIPWAY_COMMON_PIPELINE_CONDITION_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway::pipeline {

/// What a step's `when` asks of each row of one tensor: "small.confidence < 0.9". A value.
///
///   CONDITION = TENSOR ( "<" | "<=" | ">" | ">=" ) NUMBER
///             | TENSOR ( "==" | "!=" ) VALUE
///             | TENSOR [ "not" ] "in" "[" VALUE { "," VALUE } "]"
///   VALUE     = NUMBER | true | false | "text"
///   TENSOR    = any characters but spaces and <>=!
///
/// It is kept as a test and whether that is negated, so that of "x < 1" and "x >= 1" exactly one
/// holds for every x, and for what is no number.
class Condition {
 public:
  static constexpr size_t kMaxBytes = 1024;
  static constexpr size_t kMaxValues = 64;

  /// Errors: InvalidField(field).
  static absl::StatusOr<Condition> Parse(std::string_view text, std::string_view field);

  /// What it asks of, as it stands in the text.
  const std::string& tensor() const { return tensor_; }

  bool negated() const { return negated_; }
  /// Do both make the same test, negated or not?
  bool SameTest(const Condition& other) const;

  /// Can it be asked of such a tensor: one value a row, of a type that fits? Errors:
  /// InvalidField(field).
  absl::Status CheckAgainst(const TensorSpec& spec, std::string_view field) const;

  /// For each row, whether it holds. `tensor` is of the type and rank that CheckAgainst took.
  std::vector<bool> Rows(const Tensor& tensor) const;

 private:
  enum class Test { kLess, kGreater, kIn };
  using Value = std::variant<bool, int64_t, double, std::string>;

  static absl::StatusOr<Value> ParseValue(std::string_view text, std::string_view field);
  static bool Fits(const Value& value, DataType type);
  template <class T>
  bool Is(const T& element, const Value& value) const;
  template <class T>
  bool Holds(const T& element) const;

  std::string tensor_;
  Test test_ = Test::kIn;
  bool negated_ = false;
  /// One, but for kIn.
  std::vector<Value> values_;
};

}  // namespace slipway::pipeline

#endif  // SLIPWAY_COMMON_PIPELINE_CONDITION_H_
