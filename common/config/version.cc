#include "common/config/version.h"

namespace slipway {

std::string_view Version() { return SLIPWAY_VERSION; }

}  // namespace slipway
