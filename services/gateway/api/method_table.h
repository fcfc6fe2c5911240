#ifndef SLIPWAY_SERVICES_GATEWAY_API_METHOD_TABLE_H_
#define SLIPWAY_SERVICES_GATEWAY_API_METHOD_TABLE_H_

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/identity/principal.h"
#include "common/status/status.h"
#include "services/gateway/api/path_template.h"
#include "slipway/options/v1/options.pb.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
class MethodDescriptor;
class ServiceDescriptor;
}  // namespace google::protobuf

namespace slipway::gateway {

/// A field inside a message, from the outside in: {alias, name}.
using FieldPath = std::vector<const google::protobuf::FieldDescriptor*>;

/// One way to call a method over HTTP.
struct HttpBinding {
  enum class Body { kNone, kWhole, kField };

  std::string http_method;  ///< "GET", "POST", ...
  PathTemplate path;
  std::vector<FieldPath> variables;  ///< As path.variables(), resolved.
  Body body = Body::kNone;
  const google::protobuf::FieldDescriptor* body_field = nullptr;  ///< With kField.
};

/// A method of the public API as its descriptor declares it.
struct PublicMethod {
  const google::protobuf::MethodDescriptor* descriptor = nullptr;
  std::string name;   ///< "slipway.gateway.v1.TenantService/GetTenant"
  std::string label;  ///< "TenantService/GetTenant": short, for metrics.
  /// The role that a principal needs; absent: any key will do.
  std::optional<Role> role;
  options::v1::Cost cost = options::v1::COST_UNSPECIFIED;
  options::v1::Idempotency idempotency = options::v1::IDEMPOTENCY_UNSPECIFIED;
  /// "/slipway.registry.v1.RegistryService/GetModel"; empty: the gateway answers by itself.
  std::string forward;
  /// The service that `forward` goes to: "registry".
  std::string backend;
  std::vector<HttpBinding> bindings;
  const google::protobuf::Message* request = nullptr;  ///< Prototypes, for New().
  const google::protobuf::Message* response = nullptr;

  bool client_streaming() const;
  bool server_streaming() const;
  /// Its answers are google.api.HttpBody: bytes, not JSON.
  bool answers_bytes() const;
  /// It may change something, so that it is audited.
  bool mutates() const;
};

/// Every public method, its role and its bindings, made once at the start from descriptors and
/// immutable from then on. Any thread.
class MethodTable {
 public:
  struct Match {
    const PublicMethod* method;
    const HttpBinding* binding;
    PathTemplate::Variables variables;
  };
  struct Lookup {
    std::optional<Match> match;
    /// The HTTP methods that the path knows, where it knows some but not this one.
    std::vector<std::string> allowed;
  };

  /// `local`: names of the methods that have a handler in the gateway itself.
  ///
  /// Refuses (kFailedPrecondition, naming the method): no role, cost, idempotency or HTTP binding;
  /// a binding that its request message does not fit; a `forward` to a method that is unknown,
  /// has other types or does not list the gateway among its callers; no forward and no handler; a
  /// handler without a method; two methods with one binding.
  static absl::StatusOr<MethodTable> Build(
      const std::vector<const google::protobuf::ServiceDescriptor*>& services,
      const std::set<std::string>& local);

  Lookup Find(std::string_view http_method, const RequestPath& path) const;

  /// By its full name, "slipway.gateway.v1.TenantService/GetTenant"; null where there is none.
  const PublicMethod* FindByName(std::string_view name) const;

  const std::vector<PublicMethod>& methods() const { return methods_; }

 private:
  std::vector<PublicMethod> methods_;
};

/// The services that proto/slipway/gateway/v1 declares.
std::vector<const google::protobuf::ServiceDescriptor*> PublicServices();

/// The field that a dotted path leads to, by proto or by JSON names; empty where there is none or
/// where it leads through a list.
FieldPath ResolveFieldPath(const google::protobuf::Descriptor& type, std::string_view dotted);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_METHOD_TABLE_H_
