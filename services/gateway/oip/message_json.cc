#include "services/gateway/oip/message_json.h"

#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "services/gateway/oip/infer_json.h"

namespace slipway::gateway {
namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;

void Append(const pb::Message& message, std::string& out);

// One value: of a repeated field the one at `index`, else with `index` -1.
void AppendValue(const pb::Message& message, const FieldDescriptor& field, int index,
                 std::string& out) {
  const pb::Reflection& reflection = *message.GetReflection();
  const auto get = [&](auto single, auto repeated) {
    return index < 0 ? (reflection.*single)(message, &field)
                     : (reflection.*repeated)(message, &field, index);
  };
  using R = pb::Reflection;
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      out += fmt::to_string(get(&R::GetInt32, &R::GetRepeatedInt32));
      return;
    case FieldDescriptor::CPPTYPE_INT64:
      out += fmt::to_string(get(&R::GetInt64, &R::GetRepeatedInt64));
      return;
    case FieldDescriptor::CPPTYPE_UINT32:
      out += fmt::to_string(get(&R::GetUInt32, &R::GetRepeatedUInt32));
      return;
    case FieldDescriptor::CPPTYPE_UINT64:
      out += fmt::to_string(get(&R::GetUInt64, &R::GetRepeatedUInt64));
      return;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      out += fmt::to_string(get(&R::GetDouble, &R::GetRepeatedDouble));
      return;
    case FieldDescriptor::CPPTYPE_FLOAT:
      out += fmt::to_string(get(&R::GetFloat, &R::GetRepeatedFloat));
      return;
    case FieldDescriptor::CPPTYPE_BOOL:
      out += get(&R::GetBool, &R::GetRepeatedBool) ? "true" : "false";
      return;
    case FieldDescriptor::CPPTYPE_ENUM:
      AppendJsonString(get(&R::GetEnum, &R::GetRepeatedEnum)->name(), out);
      return;
    case FieldDescriptor::CPPTYPE_STRING:
      AppendJsonString(get(&R::GetString, &R::GetRepeatedString), out);
      return;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      Append(index < 0 ? reflection.GetMessage(message, &field)
                       : reflection.GetRepeatedMessage(message, &field, index),
             out);
      return;
  }
}

void AppendMap(const pb::Message& message, const FieldDescriptor& field, std::string& out) {
  const pb::Reflection& reflection = *message.GetReflection();
  const FieldDescriptor& key = *field.message_type()->map_key();
  out += '{';
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const pb::Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    if (i > 0) out += ',';
    const bool quoted = key.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
    if (!quoted) out += '"';
    AppendValue(entry, key, -1, out);
    out += quoted ? ":" : "\":";
    AppendValue(entry, *field.message_type()->map_value(), -1, out);
  }
  out += '}';
}

void AppendList(const pb::Message& message, const FieldDescriptor& field, std::string& out) {
  out += '[';
  for (int i = 0; i < message.GetReflection()->FieldSize(message, &field); ++i) {
    if (i > 0) out += ',';
    AppendValue(message, field, i, out);
  }
  out += ']';
}

void Append(const pb::Message& message, std::string& out) {
  const pb::Descriptor& type = *message.GetDescriptor();
  const pb::Reflection& reflection = *message.GetReflection();
  out += '{';
  bool first = true;
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (!field.is_repeated() && field.has_presence() && !reflection.HasField(message, &field)) {
      continue;
    }
    if (!first) out += ',';
    first = false;
    AppendJsonString(field.name(), out);
    out += ':';
    if (field.is_map()) {
      AppendMap(message, field, out);
    } else if (field.is_repeated()) {
      AppendList(message, field, out);
    } else {
      AppendValue(message, field, -1, out);
    }
  }
  out += '}';
}

}  // namespace

std::string MessageJson(const pb::Message& message) {
  std::string out;
  Append(message, out);
  return out;
}

}  // namespace slipway::gateway
