#include "common/fields/field_writer.h"

#include <utility>

#include "nlohmann/json.hpp"

namespace slipway {

using nlohmann::json;
using nlohmann::ordered_json;

void FieldWriter::PutInt(std::string_view name, int64_t value) {
  object_[std::string(name)] = value;
}
void FieldWriter::PutUnsigned(std::string_view name, uint64_t value) {
  object_[std::string(name)] = value;
}
void FieldWriter::Real(std::string_view name, double value, const Limits&) {
  object_[std::string(name)] = value;
}
void FieldWriter::Bool(std::string_view name, bool value, Presence) {
  object_[std::string(name)] = value;
}
void FieldWriter::Text(std::string_view name, const std::string& value, const TextLimits&) {
  object_[std::string(name)] = value;
}
void FieldWriter::Ints(std::string_view name, const std::vector<int64_t>& value, const Limits&,
                       const ListLimits&) {
  object_[std::string(name)] = value;
}
void FieldWriter::Reals(std::string_view name, const std::vector<double>& value, const Limits&,
                        const ListLimits&) {
  object_[std::string(name)] = value;
}
void FieldWriter::Texts(std::string_view name, const std::vector<std::string>& value,
                        const TextLimits&, const ListLimits&) {
  object_[std::string(name)] = value;
}
void FieldWriter::Raw(std::string_view name, const json& value, Presence) {
  if (!value.is_null()) object_[std::string(name)] = value;
}
void FieldWriter::Put(std::string_view name, FieldWriter& below) {
  object_[std::string(name)] = std::move(below.object_);
}
void FieldWriter::PutList(std::string_view name) {
  object_[std::string(name)] = ordered_json::array();
}
void FieldWriter::Append(std::string_view name, FieldWriter& below) {
  object_[std::string(name)].push_back(std::move(below.object_));
}

}  // namespace slipway
