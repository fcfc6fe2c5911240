#include "services/gateway/api/json_reader.h"

#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/fields/field_reader.h"
#include "common/fields/json.h"
#include "common/text/text.h"
#include "common/text/utf8.h"
#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/field_mask.pb.h"
#include "google/protobuf/message.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/timestamp.pb.h"
#include "google/protobuf/util/field_mask_util.h"
#include "google/protobuf/util/time_util.h"
#include "nlohmann/json.hpp"

namespace slipway::gateway {
namespace {

namespace pb = google::protobuf;
using nlohmann::json;

constexpr size_t kShownBytes = 60;

// A value as an error shows it: short, and never a whole document.
std::string Show(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (text.size() > kShownBytes) text = text.substr(0, kShownBytes) + "...";
  return text;
}

absl::Status Expected(std::string_view path, std::string_view what, const json& got) {
  return InvalidField(path.empty() ? "body" : path,
                      fmt::format("must be {}, got {}", what, Show(got)));
}

std::string_view WellKnown(const pb::Descriptor& type) {
  std::string_view name = type.full_name();
  constexpr std::string_view kPackage = "google.protobuf.";
  return name.substr(0, kPackage.size()) == kPackage ? name.substr(kPackage.size())
                                                     : std::string_view();
}

bool IsWrapper(std::string_view well_known) {
  constexpr std::string_view kSuffix = "Value";
  return well_known.size() > kSuffix.size() && well_known != "ListValue" &&
         well_known.substr(well_known.size() - kSuffix.size()) == kSuffix;
}

// Integers may come as numbers, as numbers with a fraction of zero ("1e3") and as decimal text,
// which is how the mapping writes 64 bits.
template <class T>
absl::StatusOr<T> ToInteger(const json& value, std::string_view path) {
  if (value.is_number_unsigned()) {
    if (const auto n = value.get<uint64_t>(); std::in_range<T>(n)) return static_cast<T>(n);
  } else if (value.is_number_integer()) {
    if (const auto n = value.get<int64_t>(); std::in_range<T>(n)) return static_cast<T>(n);
  } else if (value.is_number_float()) {
    // Both ends are powers of two, so that a double holds them exactly.
    const double n = value.get<double>();
    const double end = std::ldexp(1.0, std::numeric_limits<T>::digits);
    const double begin = std::numeric_limits<T>::is_signed ? -end : 0.0;
    if (n == std::trunc(n) && n >= begin && n < end) return static_cast<T>(n);
  } else if (value.is_string()) {
    if (const auto n = ParseNumber<T>(value.get_ref<const std::string&>())) return *n;
  }
  return Expected(path,
                  fmt::format("an integer between {} and {}", std::numeric_limits<T>::min(),
                              std::numeric_limits<T>::max()),
                  value);
}

absl::StatusOr<double> ToDouble(const json& value, std::string_view path) {
  if (value.is_number()) return value.get<double>();
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<double>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
    if (const auto n = ParseNumber<double>(text); n && std::isfinite(*n)) return *n;
  }
  return Expected(path, "a number", value);
}

absl::StatusOr<float> ToFloat(const json& value, std::string_view path) {
  ASSIGN_OR_RETURN(const double wide, ToDouble(value, path));
  const float narrow = static_cast<float>(wide);
  if (std::isinf(narrow) && !std::isinf(wide)) return Expected(path, "a 32-bit float", value);
  return narrow;
}

absl::StatusOr<std::string> ToBytes(const json& value, std::string_view path) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    std::string bytes;
    if (absl::Base64Unescape(text, &bytes) || absl::WebSafeBase64Unescape(text, &bytes)) {
      return bytes;
    }
  }
  return Expected(path, "bytes in base64", value);
}

absl::StatusOr<int> ToEnum(const pb::EnumDescriptor& type, const json& value,
                           std::string_view path) {
  if (value.is_string()) {
    if (const auto* known = type.FindValueByName(value.get_ref<const std::string&>())) {
      return known->number();
    }
  } else if (value.is_number_integer()) {
    const auto n = value.get<int64_t>();
    if (std::in_range<int>(n) && type.FindValueByNumber(static_cast<int>(n)) != nullptr) {
      return static_cast<int>(n);
    }
  }
  std::string names;
  for (int i = 0; i < type.value_count(); ++i) {
    // The zero value is what an absent field means; nobody needs to write it.
    if (type.value(i)->number() == 0) continue;
    names += (names.empty() ? "" : ", ") + type.value(i)->name();
  }
  return Expected(path, fmt::format("one of {}", names), value);
}

class Reader {
 public:
  static absl::Status Message(const json& value, const std::string& path, pb::Message& out) {
    const std::string_view well_known = WellKnown(*out.GetDescriptor());
    if (!well_known.empty()) return WellKnownMessage(well_known, value, path, out);
    return Object(value, path, out);
  }

  // One value into a singular field, or one more into a repeated one.
  static absl::Status Value(const json& value, const std::string& path,
                            const pb::FieldDescriptor& field, pb::Message& out) {
    const pb::Reflection& access = *out.GetReflection();
    const auto put = [&](auto set, auto add, auto read) -> absl::Status {
      if (!read.ok()) return read.status();
      if (field.is_repeated()) {
        (access.*add)(&out, &field, *std::move(read));
      } else {
        (access.*set)(&out, &field, *std::move(read));
      }
      return absl::OkStatus();
    };
    using R = pb::Reflection;
    switch (field.cpp_type()) {
      case pb::FieldDescriptor::CPPTYPE_INT32:
        return put(&R::SetInt32, &R::AddInt32, ToInteger<int32_t>(value, path));
      case pb::FieldDescriptor::CPPTYPE_INT64:
        return put(&R::SetInt64, &R::AddInt64, ToInteger<int64_t>(value, path));
      case pb::FieldDescriptor::CPPTYPE_UINT32:
        return put(&R::SetUInt32, &R::AddUInt32, ToInteger<uint32_t>(value, path));
      case pb::FieldDescriptor::CPPTYPE_UINT64:
        return put(&R::SetUInt64, &R::AddUInt64, ToInteger<uint64_t>(value, path));
      case pb::FieldDescriptor::CPPTYPE_DOUBLE:
        return put(&R::SetDouble, &R::AddDouble, ToDouble(value, path));
      case pb::FieldDescriptor::CPPTYPE_FLOAT:
        return put(&R::SetFloat, &R::AddFloat, ToFloat(value, path));
      case pb::FieldDescriptor::CPPTYPE_BOOL:
        if (!value.is_boolean()) return Expected(path, "true or false", value);
        return put(&R::SetBool, &R::AddBool, absl::StatusOr<bool>(value.get<bool>()));
      case pb::FieldDescriptor::CPPTYPE_ENUM:
        return put(&R::SetEnumValue, &R::AddEnumValue, ToEnum(*field.enum_type(), value, path));
      case pb::FieldDescriptor::CPPTYPE_STRING:
        if (field.type() == pb::FieldDescriptor::TYPE_BYTES) {
          return put(&R::SetString, &R::AddString, ToBytes(value, path));
        }
        if (!value.is_string()) return Expected(path, "a text", value);
        return put(&R::SetString, &R::AddString,
                   absl::StatusOr<std::string>(value.get<std::string>()));
      case pb::FieldDescriptor::CPPTYPE_MESSAGE:
        return Message(value, path,
                       field.is_repeated() ? *access.AddMessage(&out, &field)
                                           : *access.MutableMessage(&out, &field));
    }
    return InvalidField(path, "has a type that JSON cannot carry");
  }

 private:
  static absl::Status Object(const json& value, const std::string& path, pb::Message& out) {
    if (!value.is_object()) return Expected(path, "an object", value);
    const pb::Descriptor& type = *out.GetDescriptor();
    std::set<const pb::FieldDescriptor*> seen;
    std::set<const pb::OneofDescriptor*> chosen;
    for (const auto& [key, member] : value.items()) {
      const std::string here = JoinPath(path, key);
      const pb::FieldDescriptor* field = FindField(type, key);
      if (field == nullptr) return Unknown(type, path, key);
      if (!seen.insert(field).second) {
        return InvalidField(here, fmt::format("is given twice, as {} and as {}", field->name(),
                                              field->json_name()));
      }
      // Null is an absent field, except where the field's own type knows null.
      const bool takes_null = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE &&
                              !field->is_repeated() && WellKnown(*field->message_type()) == "Value";
      if (member.is_null() && !takes_null) continue;
      if (const pb::OneofDescriptor* oneof = field->real_containing_oneof();
          oneof != nullptr && !chosen.insert(oneof).second) {
        return InvalidField(here, "excludes another field that is given");
      }
      if (field->is_map()) {
        RETURN_IF_ERROR(Map(member, here, *field, out));
      } else if (field->is_repeated()) {
        RETURN_IF_ERROR(List(member, here, *field, out));
      } else {
        RETURN_IF_ERROR(Value(member, here, *field, out));
      }
    }
    return absl::OkStatus();
  }

  static const pb::FieldDescriptor* FindField(const pb::Descriptor& type, const std::string& key) {
    if (const auto* field = type.FindFieldByName(key)) return field;
    for (int i = 0; i < type.field_count(); ++i) {
      if (type.field(i)->json_name() == key) return type.field(i);
    }
    return nullptr;
  }

  static absl::Status Unknown(const pb::Descriptor& type, const std::string& path,
                              const std::string& key) {
    std::vector<std::string_view> names;
    for (int i = 0; i < type.field_count(); ++i) names.push_back(type.field(i)->json_name());
    const std::string_view nearest = NearestName(key, names);
    const std::string shown = key.size() > kShownBytes ? key.substr(0, kShownBytes) + "..." : key;
    return InvalidField(JoinPath(path, shown),
                        nearest.empty()
                            ? "is not known here"
                            : fmt::format("is not known here; did you mean {}?", nearest));
  }

  static absl::Status List(const json& value, const std::string& path,
                           const pb::FieldDescriptor& field, pb::Message& out) {
    if (!value.is_array()) return Expected(path, "a list", value);
    for (size_t i = 0; i < value.size(); ++i) {
      RETURN_IF_ERROR(Value(value[i], JoinPath(path, i), field, out));
    }
    return absl::OkStatus();
  }

  static absl::Status Map(const json& value, const std::string& path,
                          const pb::FieldDescriptor& field, pb::Message& out) {
    if (!value.is_object()) return Expected(path, "an object", value);
    const pb::FieldDescriptor& key_field = *field.message_type()->map_key();
    for (const auto& [key, member] : value.items()) {
      const std::string here = JoinPath(path, key);
      pb::Message& entry = *out.GetReflection()->AddMessage(&out, &field);
      RETURN_IF_ERROR(ReadText(key, here, key_field, entry));
      RETURN_IF_ERROR(Value(member, here, *field.message_type()->map_value(), entry));
    }
    return absl::OkStatus();
  }

  static absl::Status WellKnownMessage(std::string_view name, const json& value,
                                       const std::string& path, pb::Message& out) {
    if (name == "Empty") return Object(value, path, out);
    if (auto* fields = pb::DynamicCastToGenerated<pb::Struct>(&out)) {
      return Struct(value, path, *fields);
    }
    if (auto* any = pb::DynamicCastToGenerated<pb::Value>(&out)) {
      return AnyValue(value, path, *any);
    }
    if (auto* list = pb::DynamicCastToGenerated<pb::ListValue>(&out)) {
      return ListOfValues(value, path, *list);
    }
    if (auto* time = pb::DynamicCastToGenerated<pb::Timestamp>(&out)) {
      if (value.is_string() && pb::util::TimeUtil::FromString(value.get<std::string>(), time)) {
        return absl::OkStatus();
      }
      return Expected(path, "a time like \"2030-01-31T12:00:00Z\"", value);
    }
    if (auto* duration = pb::DynamicCastToGenerated<pb::Duration>(&out)) {
      if (value.is_string() && pb::util::TimeUtil::FromString(value.get<std::string>(), duration)) {
        return absl::OkStatus();
      }
      return Expected(path, "a duration in seconds like \"3.5s\"", value);
    }
    if (auto* mask = pb::DynamicCastToGenerated<pb::FieldMask>(&out)) {
      if (!value.is_string()) return Expected(path, "field names with commas between", value);
      pb::util::FieldMaskUtil::FromString(value.get<std::string>(), mask);
      return absl::OkStatus();
    }
    if (IsWrapper(name)) return Value(value, path, *out.GetDescriptor()->field(0), out);
    return InvalidField(path, fmt::format("google.protobuf.{} is not taken here", name));
  }

  static absl::Status Struct(const json& value, const std::string& path, pb::Struct& out) {
    if (!value.is_object()) return Expected(path, "an object", value);
    for (const auto& [key, member] : value.items()) {
      RETURN_IF_ERROR(AnyValue(member, JoinPath(path, key), (*out.mutable_fields())[key]));
    }
    return absl::OkStatus();
  }

  static absl::Status ListOfValues(const json& value, const std::string& path, pb::ListValue& out) {
    if (!value.is_array()) return Expected(path, "a list", value);
    for (size_t i = 0; i < value.size(); ++i) {
      RETURN_IF_ERROR(AnyValue(value[i], JoinPath(path, i), *out.add_values()));
    }
    return absl::OkStatus();
  }

  static absl::Status AnyValue(const json& value, const std::string& path, pb::Value& out) {
    switch (value.type()) {
      case json::value_t::null:
        out.set_null_value(pb::NULL_VALUE);
        return absl::OkStatus();
      case json::value_t::boolean:
        out.set_bool_value(value.get<bool>());
        return absl::OkStatus();
      case json::value_t::string:
        out.set_string_value(value.get<std::string>());
        return absl::OkStatus();
      case json::value_t::object:
        return Struct(value, path, *out.mutable_struct_value());
      case json::value_t::array:
        return ListOfValues(value, path, *out.mutable_list_value());
      default:
        out.set_number_value(value.get<double>());
        return absl::OkStatus();
    }
  }
};

}  // namespace

absl::Status ReadMessage(const json& value, std::string_view path, pb::Message& out) {
  return Reader::Message(value, std::string(path), out);
}

absl::Status ReadText(std::string_view text, std::string_view path,
                      const pb::FieldDescriptor& field, pb::Message& out) {
  const std::string here(path);
  if (FindBrokenUtf8(text) < text.size()) return InvalidField(path, "is not UTF-8");
  switch (field.cpp_type()) {
    case pb::FieldDescriptor::CPPTYPE_BOOL:
      if (text != "true" && text != "false") return Expected(path, "true or false", text);
      return Reader::Value(text == "true", here, field, out);
    case pb::FieldDescriptor::CPPTYPE_ENUM:
      if (const auto number = ParseNumber<int>(text)) {
        return Reader::Value(*number, here, field, out);
      }
      return Reader::Value(text, here, field, out);
    case pb::FieldDescriptor::CPPTYPE_MESSAGE: {
      const std::string_view name = WellKnown(*field.message_type());
      if (IsWrapper(name) && name != "Value") {
        pb::Message& wrapper = field.is_repeated()
                                   ? *out.GetReflection()->AddMessage(&out, &field)
                                   : *out.GetReflection()->MutableMessage(&out, &field);
        return ReadText(text, path, *field.message_type()->field(0), wrapper);
      }
      if (name == "Timestamp" || name == "Duration" || name == "FieldMask") {
        return Reader::Value(text, here, field, out);
      }
      return InvalidField(path, "is an object; name one of its fields");
    }
    default:
      // Numbers and bytes take text as they take JSON's.
      return Reader::Value(text, here, field, out);
  }
}

}  // namespace slipway::gateway
