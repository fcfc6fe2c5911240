#ifndef SLIPWAY_SERVICES_GATEWAY_API_DESCRIPTOR_SET_H_
#define SLIPWAY_SERVICES_GATEWAY_API_DESCRIPTOR_SET_H_

#include <string_view>

namespace slipway::gateway {

/// The public API's descriptors as a serialized google.protobuf.FileDescriptorSet with the
/// comments of the proto files, which generated code leaves out.
std::string_view DescriptorSetWithComments();

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_DESCRIPTOR_SET_H_
