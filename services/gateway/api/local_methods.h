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

  /// The next message of a stream of answers; false at its end. One thread at a time.
  using Pieces = std::function<absl::StatusOr<bool>(google::protobuf::Message&)>;
  using StreamHandler =
      std::function<absl::StatusOr<Pieces>(const Principal&, const google::protobuf::Message&)>;

  /// The same for a method that answers with a stream; `handle` returns StatusOr<Pieces>.
  template <class Request, class Handle>
  void AddStream(const std::string& name, Handle handle) {
    streams_[name] = [handle = std::move(handle)](const Principal& principal,
                                                  const google::protobuf::Message& request) {
      return absl::StatusOr<Pieces>(handle(principal, dynamic_cast<const Request&>(request)));
    };
  }

  std::set<std::string> names() const {
    std::set<std::string> names;
    for (const auto& [name, handler] : handlers_) names.insert(name);
    for (const auto& [name, handler] : streams_) names.insert(name);
    return names;
  }

  /// Null where there is none.
  const Handler* Find(const std::string& name) const {
    const auto found = handlers_.find(name);
    return found == handlers_.end() ? nullptr : &found->second;
  }
  const StreamHandler* FindStream(const std::string& name) const {
    const auto found = streams_.find(name);
    return found == streams_.end() ? nullptr : &found->second;
  }

 private:
  std::map<std::string, Handler> handlers_;
  std::map<std::string, StreamHandler> streams_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_LOCAL_METHODS_H_
