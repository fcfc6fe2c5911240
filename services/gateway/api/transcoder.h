#ifndef SLIPWAY_SERVICES_GATEWAY_API_TRANSCODER_H_
#define SLIPWAY_SERVICES_GATEWAY_API_TRANSCODER_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/fields/json.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "services/gateway/api/method_table.h"

// Between HTTP and protobuf, by the bindings of google.api.http. Pure functions; any thread.
namespace slipway::gateway {

/// What bodies of JSON may cost.
inline constexpr DocumentLimits kBodyLimits = {
    .bytes = size_t{4} << 20, .depth = 64, .values = 200'000};

/// The request message that path, query and body make together. Errors are InvalidField and name
/// the query parameter or the body's field as the caller wrote it. `body` is ignored where the
/// binding takes none or takes bytes; "" is an empty object.
absl::StatusOr<std::unique_ptr<google::protobuf::Message>> ReadRequest(
    const MethodTable::Match& match, std::string_view query, std::string_view body);

/// Puts the principal's tenant into each text of the request that is "tenants/-" or starts with
/// "tenants/-/". The operator has no tenant of its own: InvalidField.
absl::Status ResolveOwnTenant(const Principal& principal, google::protobuf::Message& request);

/// Refuses a request whose names are not of the binding's form (which those of a path always are),
/// or name a tenant that the principal may not touch, or, for the operator, that does not exist
/// (`tenant_exists`, by id): the same NotFound for both.
absl::Status CheckTenant(const HttpBinding& binding, const Principal& principal,
                         const google::protobuf::Message& request,
                         const std::function<bool(std::string_view)>& tenant_exists);

/// The text of the first path variable: the object of the call, or the parent of what it makes.
/// "" where the path has none.
std::string ResourceOf(const HttpBinding& binding, const google::protobuf::Message& request);

/// By protobuf's JSON mapping: lowerCamelCase names, enums by name, 64-bit integers as text.
/// Numbers, texts, enums and lists are always there, messages only where they are set.
std::string ToJson(const google::protobuf::Message& message);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_TRANSCODER_H_
