#ifndef SLIPWAY_COMMON_CONFIG_VERSION_H_
#define SLIPWAY_COMMON_CONFIG_VERSION_H_

#include <string_view>

namespace slipway {

/// The platform's version, "0.1.0": all its programs share one.
std::string_view Version();

}  // namespace slipway

#endif  // SLIPWAY_COMMON_CONFIG_VERSION_H_
