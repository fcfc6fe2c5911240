#ifndef SLIPWAY_SERVICES_GATEWAY_API_JSON_READER_H_
#define SLIPWAY_SERVICES_GATEWAY_API_JSON_READER_H_

#include <string>
#include <string_view>

#include "common/status/status.h"
#include "nlohmann/json_fwd.hpp"

namespace google::protobuf {
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

// From JSON and from text to protobuf messages, by protobuf's JSON mapping
// (https://protobuf.dev/programming-guides/json). protobuf's own parser is not used for input: it
// names fields by their proto names and lists by a wrong index, and lets the later of two equal
// keys win.
//
// Stricter than the mapping: unknown fields, unknown enum numbers, a field given under both of its
// names and two members of one oneof are refused. Each error is an InvalidField whose path is
// written as the caller wrote it.
namespace slipway::gateway {

/// Reads `value` into `out`. `path` is what the caller calls the value; "" for a whole body. Any
/// thread. The depth is that of `value`, which ParseJson has bounded.
absl::Status ReadMessage(const nlohmann::json& value, std::string_view path,
                         google::protobuf::Message& out);

/// Sets one field (appends, where it is repeated) from the text of a path variable or of a query
/// parameter. Messages other than those that the mapping writes as text are refused.
absl::Status ReadText(std::string_view text, std::string_view path,
                      const google::protobuf::FieldDescriptor& field,
                      google::protobuf::Message& out);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_JSON_READER_H_
