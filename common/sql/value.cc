#include "common/sql/value.h"

#include <cstdio>
#include <cstdlib>

namespace slipway::sql {
namespace {

const char* TypeName(const Value& value) {
  static constexpr const char* kNames[] = {"null", "integer", "double", "text", "bytes"};
  return kNames[value.variant().index()];
}

[[noreturn]] void WrongType(size_t i, const char* wanted, const char* found) {
  std::fprintf(stderr, "sql::Row: field %zu was read as %s but holds %s\n", i, wanted, found);
  std::abort();
}

}  // namespace

const Value& Row::At(size_t i, const char* type) const {
  if (i >= fields_.size()) WrongType(i, type, "nothing: the row is shorter");
  return fields_[i];
}

bool Row::IsNull(size_t i) const { return At(i, "null").is_null(); }

const std::string& Row::GetString(size_t i) const {
  const Value& value = At(i, "text");
  if (const auto* text = std::get_if<std::string>(&value.variant())) return *text;
  WrongType(i, "text", TypeName(value));
}

int64_t Row::GetInt(size_t i) const {
  const Value& value = At(i, "integer");
  if (const auto* number = std::get_if<int64_t>(&value.variant())) return *number;
  WrongType(i, "integer", TypeName(value));
}

double Row::GetDouble(size_t i) const {
  const Value& value = At(i, "double");
  if (const auto* number = std::get_if<double>(&value.variant())) return *number;
  if (const auto* number = std::get_if<int64_t>(&value.variant())) {
    return static_cast<double>(*number);
  }
  WrongType(i, "double", TypeName(value));
}

const std::string& Row::GetBlob(size_t i) const {
  const Value& value = At(i, "bytes");
  if (const auto* blob = std::get_if<Blob>(&value.variant())) return blob->bytes;
  WrongType(i, "bytes", TypeName(value));
}

std::optional<std::string> Row::GetOptionalString(size_t i) const {
  if (IsNull(i)) return std::nullopt;
  return GetString(i);
}

std::optional<int64_t> Row::GetOptionalInt(size_t i) const {
  if (IsNull(i)) return std::nullopt;
  return GetInt(i);
}

}  // namespace slipway::sql
