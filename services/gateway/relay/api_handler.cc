#include "services/gateway/relay/api_handler.h"

#include <utility>

#include "fmt/format.h"
#include "services/gateway/error_body.h"
#include "services/gateway/relay/api_call.h"

namespace slipway::gateway {

ApiHandler::ApiHandler(const ApiOptions& options, const ApiParts& parts)
    : core_(std::make_unique<ApiCore>(options, parts)), unknown_(parts.metrics.Method("other")) {
  for (const PublicMethod& method : parts.methods.methods()) {
    method_metrics_[&method] = &parts.metrics.Method(method.label);
  }
}

ApiHandler::~ApiHandler() { core_->calls.WaitForNone(); }

void ApiHandler::Handle(std::shared_ptr<http::Exchange> exchange,
                        std::shared_ptr<const KnownKey> key) {
  const http::RequestHead& head = exchange->head();
  const auto refuse = [&](RequestMetrics& metrics, http::Response response) {
    metrics.Observe(response.status, absl::ZeroDuration());
    exchange->Respond(std::move(response));
  };
  const auto path = RequestPath::Parse(head.path());
  if (!path.ok()) return refuse(unknown_, ApiError(path.status(), head.request_id));
  MethodTable::Lookup lookup = core_->parts.methods.Find(head.method, *path);
  if (!lookup.match) {
    if (lookup.allowed.empty()) {
      return refuse(unknown_, ApiError(absl::NotFoundError("there is nothing at this path"),
                                       head.request_id));
    }
    return refuse(unknown_,
                  MethodNotAllowed(head.path(), fmt::format("{}", fmt::join(lookup.allowed, ", ")),
                                   head.request_id));
  }
  const PublicMethod& method = *lookup.match->method;
  RequestMetrics& metrics = *method_metrics_.at(&method);
  if (method.role && !Includes(key->principal.role, *method.role)) {
    core_->parts.metrics.CountRefusal("role");
    return refuse(
        metrics,
        ApiError(absl::PermissionDeniedError("this key's role does not include this method"),
                 head.request_id));
  }
  const bool stream = method.client_streaming() || method.server_streaming();
  if (stream && core_->streams.count() >= core_->options.max_streams) {
    core_->parts.metrics.CountRefusal("busy");
    return refuse(metrics, ApiError(absl::UnavailableError("too many streams are open; try again"),
                                    head.request_id));
  }
  const auto make = stream ? MakeStreamCall : MakeUnaryCall;
  make(*core_, metrics, std::move(exchange), std::move(key), *std::move(lookup.match))->Start();
}

void ApiHandler::EndWatches() { gateway::EndWatches(*core_); }

}  // namespace slipway::gateway
