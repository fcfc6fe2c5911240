#ifndef SLIPWAY_COMMON_FIELDS_KINDS_H_
#define SLIPWAY_COMMON_FIELDS_KINDS_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
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

/// Which of `types` (by index) the object's "type" names. Errors: InvalidField below `path`.
inline absl::StatusOr<size_t> ChooseType(const nlohmann::json& object, const std::string& path,
                                         const std::vector<std::string_view>& types) {
  const std::string expected = fmt::format("must be one of {}", fmt::join(types, ", "));
  if (!object.is_object()) return InvalidField(path, "must be an object with a type");
  const auto type = object.find("type");
  if (type == object.end()) return InvalidField(JoinPath(path, "type"), "is required; " + expected);
  if (type->is_string()) {
    for (size_t i = 0; i < types.size(); ++i) {
      if (types[i] == type->get_ref<const std::string&>()) return i;
    }
  }
  return InvalidField(
      JoinPath(path, "type"),
      fmt::format(
          "{}, got {}", expected,
          type->dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).substr(0, 80)));
}

/// Parses `object` as one of `kinds`. Errors: InvalidField below `path`.
template <class Interface>
absl::StatusOr<std::unique_ptr<const Interface>> ParseKind(
    std::span<const Kind<Interface>* const> kinds, const nlohmann::json& object,
    const std::string& path) {
  std::vector<std::string_view> types;
  for (const Kind<Interface>* kind : kinds) types.push_back(kind->type);
  ASSIGN_OR_RETURN(const size_t chosen, ChooseType(object, path, types));
  nlohmann::json fields = object;
  fields.erase("type");
  return kinds[chosen]->parse(fields, path);
}

/// The same for kinds that are values: parses `object` as the alternative of `Variant` (a
/// std::variant) whose `kType` is its "type", by that alternative's Describe and, where it has
/// one, Check. Errors: InvalidField below `path`.
template <class Variant>
absl::StatusOr<Variant> ParseVariant(const nlohmann::json& object, const std::string& path);

namespace fields_internal {

template <class Variant, class T>
absl::StatusOr<Variant> ParseAlternative(const nlohmann::json& fields, const std::string& path) {
  T value;
  RETURN_IF_ERROR(ReadFields(fields, path, value));
  if constexpr (requires { value.Check(path); }) {
    RETURN_IF_ERROR(value.Check(path));
  }
  return value;
}

template <class... Kinds>
absl::StatusOr<std::variant<Kinds...>> ParseVariant(const std::variant<Kinds...>*,
                                                    const nlohmann::json& object,
                                                    const std::string& path) {
  ASSIGN_OR_RETURN(const size_t chosen, ChooseType(object, path, {Kinds::kType...}));
  nlohmann::json fields = object;
  fields.erase("type");
  constexpr absl::StatusOr<std::variant<Kinds...>> (*kParse[])(
      const nlohmann::json&,
      const std::string&) = {&ParseAlternative<std::variant<Kinds...>, Kinds>...};
  return kParse[chosen](fields, path);
}

}  // namespace fields_internal

template <class Variant>
absl::StatusOr<Variant> ParseVariant(const nlohmann::json& object, const std::string& path) {
  return fields_internal::ParseVariant(static_cast<const Variant*>(nullptr), object, path);
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
