#ifndef SLIPWAY_SERVICES_GATEWAY_API_OPENAPI_H_
#define SLIPWAY_SERVICES_GATEWAY_API_OPENAPI_H_

#include <string>
#include <string_view>

#include "common/status/status.h"
#include "services/gateway/api/method_table.h"

namespace slipway::gateway {

/// The public API as an OpenAPI 3.0 document (JSON), from the table that also routes it: paths,
/// parameters, bodies, answers, errors, keys, and each method's role. `descriptor_set` holds the
/// proto files' comments (see DescriptorSetWithComments); what it lacks is left without words.
absl::StatusOr<std::string> OpenApiDocument(const MethodTable& methods,
                                            std::string_view descriptor_set,
                                            std::string_view version);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_OPENAPI_H_
