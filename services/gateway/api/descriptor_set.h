#ifndef SLIPWAY_SERVICES_GATEWAY_API_DESCRIPTOR_SET_H_
#define SLIPWAY_SERVICES_GATEWAY_API_DESCRIPTOR_SET_H_

#include <string_view>

namespace slipway::gateway {

/// The descriptors of all that the public door serves, as a serialized
/// google.protobuf.FileDescriptorSet, each file after those that it imports, with the comments of
/// the proto files, which generated code leaves out.
std::string_view DescriptorSetWithComments();

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_DESCRIPTOR_SET_H_
