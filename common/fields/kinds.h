#ifndef SLIPWAY_COMMON_FIELDS_KINDS_H_
#define SLIPWAY_COMMON_FIELDS_KINDS_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/fields/field_reader.h"
#include "common/fields/field_writer.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "nlohmann/json.hpp"

namespace slipway {

/// One kind of a thing of which there are several (architectures, losses, optimisers,
/// schedules, ...). A spec chooses it by the object's "type"; the other keys are the kind's own
/// fields. Each kind is one small file with one constant of this type, and each family one table
/// of pointers to them.
template <class Interface>
struct Kind {
  std::string_view type;
  absl::StatusOr<std::unique_ptr<const Interface>> (*parse)(const nlohmann::json& object,
                                                            const std::string& path);
};

/// The kind whose class is T: default-constructed, then filled by T::Describe, then checked by
/// `absl::Status T::Check(const std::string& path)` where T has one.
template <class T, class Interface>
constexpr Kind<Interface> MakeKind(std::string_view type) {
  return {type,
          [](const nlohmann::json& object,
             const std::string& path) -> absl::StatusOr<std::unique_ptr<const Interface>> {
            auto value = std::make_unique<T>();
            RETURN_IF_ERROR(ReadFields(object, path, *value));
            if constexpr (requires { value->Check(path); }) {
              RETURN_IF_ERROR(value->Check(path));
            }
            return value;
          }};
}

/// Parses `object` as one of `kinds`. Errors: InvalidField below `path`.
template <class Interface>
absl::StatusOr<std::unique_ptr<const Interface>> ParseKind(
    std::span<const Kind<Interface>* const> kinds, const nlohmann::json& object,
    const std::string& path) {
  std::vector<std::string_view> types;
  for (const Kind<Interface>* kind : kinds) types.push_back(kind->type);
  const std::string expected = fmt::format("must be one of {}", fmt::join(types, ", "));
  if (!object.is_object()) return InvalidField(path, "must be an object with a type");
  const auto type = object.find("type");
  if (type == object.end()) return InvalidField(JoinPath(path, "type"), "is required; " + expected);
  if (type->is_string()) {
    for (const Kind<Interface>* kind : kinds) {
      if (kind->type != type->template get_ref<const std::string&>()) continue;
      nlohmann::json fields = object;
      fields.erase("type");
      return kind->parse(fields, path);
    }
  }
  return InvalidField(
      JoinPath(path, "type"),
      fmt::format(
          "{}, got {}", expected,
          type->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 80)));
}

/// `value` as JSON with its "type" first; the inverse of ParseKind.
template <class T>
nlohmann::ordered_json PrintKind(std::string_view type, const T& value) {
  nlohmann::ordered_json object;
  object["type"] = std::string(type);
  T copy = value;
  object.update(WriteFields(copy));
  return object;
}

}  // namespace slipway

#endif  // SLIPWAY_COMMON_FIELDS_KINDS_H_
