#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_MESSAGE_JSON_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_MESSAGE_JSON_H_

#include <string>

#include "google/protobuf/message.h"

namespace slipway::gateway {

/// A message of the inference protocol as its clients over HTTP read it: fields by their names in
/// the proto, every field that is not a message whether set or not, 64-bit numbers as numbers,
/// enums by name. (protobuf's own JSON writes 64-bit numbers as texts.)
std::string MessageJson(const google::protobuf::Message& message);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_MESSAGE_JSON_H_
