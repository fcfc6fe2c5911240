#ifndef SLIPWAY_SERVICES_GATEWAY_API_LOCAL_METHODS_H_
#define SLIPWAY_SERVICES_GATEWAY_API_LOCAL_METHODS_H_

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/identity/principal.h"
#include "common/status/status.h"
#include "google/protobuf/message.h"

namespace slipway::gateway {

/// The public methods that the gateway answers by itself. Filled at the start, then read by any
/// thread. By then the principal's role and the tenant of the request's path have been checked.
class LocalMethods {
 public:
  using Handler = std::function<absl::Status(const Principal&, const google::protobuf::Message&,
                                             google::protobuf::Message&)>;

  /// `name`: "slipway.gateway.v1.TenantService/GetTenant". `handle` takes (const Principal&, const
  /// Request&) and returns StatusOr<Response>; it may block.
  template <class Request, class Response, class Handle>
  void Add(const std::string& name, Handle handle) {
    handlers_[name] = [handle = std::move(handle)](const Principal& principal,
                                                   const google::protobuf::Message& request,
                                                   google::protobuf::Message& response) {
      absl::StatusOr<Response> answer = handle(principal, dynamic_cast<const Request&>(request));
      if (answer.ok()) dynamic_cast<Response&>(response).Swap(&*answer);
      return answer.status();
    };
  }

  std::set<std::string> names() const {
    std::set<std::string> names;
    for (const auto& [name, handler] : handlers_) names.insert(name);
    return names;
  }

  /// Null where there is none.
  const Handler* Find(const std::string& name) const {
    const auto found = handlers_.find(name);
    return found == handlers_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, Handler> handlers_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_LOCAL_METHODS_H_
