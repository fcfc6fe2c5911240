#ifndef SLIPWAY_COMMON_SQL_VALUE_H_
#define SLIPWAY_COMMON_SQL_VALUE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace slipway::sql {

/// Bytes for a column of type BYTEA, as opposed to text.
struct Blob {
  std::string bytes;
  bool operator==(const Blob&) const = default;
};

/// One parameter of a statement or one field of a row: null, an integer, a double, text or bytes.
/// Converts from what callers hold, so that a parameter list reads {tenant, id, 3, nullptr}.
/// Text must be UTF-8 without NUL (PostgreSQL's rule; SQLite's adapter holds it too).
class Value {
 public:
  using Variant = std::variant<std::nullptr_t, int64_t, double, std::string, Blob>;

  Value() : value_(nullptr) {}
  Value(std::nullptr_t) : value_(nullptr) {}                     // NOLINT
  Value(bool value) : value_(static_cast<int64_t>(value)) {}     // NOLINT
  Value(int value) : value_(static_cast<int64_t>(value)) {}      // NOLINT
  Value(int64_t value) : value_(value) {}                        // NOLINT
  Value(double value) : value_(value) {}                         // NOLINT
  Value(const char* value) : value_(std::string(value)) {}       // NOLINT
  Value(std::string_view value) : value_(std::string(value)) {}  // NOLINT
  Value(std::string value) : value_(std::move(value)) {}         // NOLINT
  Value(Blob value) : value_(std::move(value)) {}                // NOLINT
  template <class T>
  Value(std::optional<T> value) {  // NOLINT
    if (value.has_value()) *this = Value(*std::move(value));
  }

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }
  const Variant& variant() const { return value_; }
  bool operator==(const Value&) const = default;

 private:
  Variant value_;
};

using Params = std::vector<Value>;

/// One row of an answer; fields by position from 0. A getter whose column holds another type, or
/// null, aborts the program with the position in its message: a query and its reader disagree.
class Row {
 public:
  explicit Row(std::vector<Value> fields) : fields_(std::move(fields)) {}

  size_t size() const { return fields_.size(); }
  bool IsNull(size_t i) const;
  const std::string& GetString(size_t i) const;
  int64_t GetInt(size_t i) const;
  bool GetBool(size_t i) const { return GetInt(i) != 0; }
  /// An integer is taken too: SQLite stores 3.0 as 3 where it can.
  double GetDouble(size_t i) const;
  const std::string& GetBlob(size_t i) const;
  std::optional<std::string> GetOptionalString(size_t i) const;
  std::optional<int64_t> GetOptionalInt(size_t i) const;

 private:
  const Value& At(size_t i, const char* type) const;

  std::vector<Value> fields_;
};

}  // namespace slipway::sql

#endif  // SLIPWAY_COMMON_SQL_VALUE_H_
