#ifndef SLIPWAY_COMMON_FIELDS_FIELD_WRITER_H_
#define SLIPWAY_COMMON_FIELDS_FIELD_WRITER_H_

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/fields/field_reader.h"
#include "nlohmann/json.hpp"

namespace slipway {

/// Prints a struct as a JSON object, defaults included, in the order in which its Describe says
/// the fields (see FieldReader). What it writes, FieldReader reads back. One thread.
class FieldWriter {
 public:
  template <std::integral T>
  void Int(std::string_view name, const T& value, const Limits& = {}) {
    if constexpr (std::unsigned_integral<T>) {
      PutUnsigned(name, value);
    } else {
      PutInt(name, value);
    }
  }
  void Real(std::string_view name, double value, const Limits& = {});
  void Bool(std::string_view name, bool value, Presence = Presence::kOptional);
  void Text(std::string_view name, const std::string& value, const TextLimits& = {});
  template <class E, class Names>
  void Enum(std::string_view name, const E& value, const Names& names,
            Presence = Presence::kOptional) {
    for (const slipway::Name<E>& choice : names) {
      if (choice.value == value) return Text(name, std::string(choice.name));
    }
  }
  void Ints(std::string_view name, const std::vector<int64_t>& value, const Limits& = {},
            const ListLimits& = {});
  void Reals(std::string_view name, const std::vector<double>& value, const Limits& = {},
             const ListLimits& = {});
  void Texts(std::string_view name, const std::vector<std::string>& value, const TextLimits& = {},
             const ListLimits& = {});
  template <class T>
  void Object(std::string_view name, T& value, Presence = Presence::kOptional) {
    FieldWriter below;
    value.Describe(below);
    Put(name, below);
  }
  template <class T>
  void Object(std::string_view name, std::optional<T>& value) {
    if (value) Object(name, *value);
  }
  template <class T>
  void Objects(std::string_view name, std::vector<T>& values, const ListLimits& = {}) {
    PutList(name);
    for (T& value : values) {
      FieldWriter below;
      value.Describe(below);
      Append(name, below);
    }
  }
  /// Null is left out.
  void Raw(std::string_view name, const nlohmann::json& value, Presence = Presence::kOptional);
  void Fail(std::string_view, std::string_view) {}

  nlohmann::ordered_json Take() && { return std::move(object_); }

 private:
  void PutInt(std::string_view name, int64_t value);
  void PutUnsigned(std::string_view name, uint64_t value);
  void Put(std::string_view name, FieldWriter& below);
  void PutList(std::string_view name);
  void Append(std::string_view name, FieldWriter& below);

  nlohmann::ordered_json object_ = nlohmann::ordered_json::object();
};

/// `value` as a JSON object; its Describe says the fields. (Describe is one function for readers
/// and writers, hence no const; nothing is changed.)
template <class T>
nlohmann::ordered_json WriteFields(T& value) {
  FieldWriter writer;
  value.Describe(writer);
  return std::move(writer).Take();
}

}  // namespace slipway

#endif  // SLIPWAY_COMMON_FIELDS_FIELD_WRITER_H_
