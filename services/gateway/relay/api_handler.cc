#include "services/gateway/relay/api_handler.h"

#include <utility>

#include "fmt/format.h"
#include "services/gateway/body_coding.h"
#include "services/gateway/error_body.h"
#include "services/gateway/refusal_of.h"
#include "services/gateway/relay/api_call.h"
#include "services/gateway/relay/rest_transport.h"

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
  const auto refuse = [&](http::Response response) {
    unknown_.Observe(response.status, absl::ZeroDuration());
    exchange->Respond(std::move(response));
  };
  const auto path = RequestPath::Parse(head.path());
  if (!path.ok()) return refuse(ApiError(path.status(), head.request_id));
  MethodTable::Lookup lookup = core_->parts.methods.Find(head.method, *path);
  if (!lookup.match) {
    if (lookup.allowed.empty()) {
      return refuse(
          ApiError(absl::NotFoundError("there is nothing at this path"), head.request_id));
    }
    return refuse(MethodNotAllowed(head.path(), fmt::format("{}", fmt::join(lookup.allowed, ", ")),
                                   head.request_id));
  }
  const PublicMethod& method = *lookup.match->method;
  if (method.client_streaming() && BodyCoding(head.headers) != http::Coding::kIdentity) {
    // An upload's digest is of the bytes that come.
    return refuse(CodingNotTaken(head, "identity"));
  }
  Start(method, std::move(key),
        std::make_unique<RestTransport>(core_->options, std::move(exchange),
                                        *std::move(lookup.match)));
}

void ApiHandler::Start(const PublicMethod& method, std::shared_ptr<const KnownKey> key,
                       std::unique_ptr<ApiTransport> transport) {
  RequestMetrics& metrics = *method_metrics_.at(&method);
  const auto refuse = [&](const std::string& reason, const absl::Status& status) {
    core_->parts.metrics.CountRefusal(reason);
    metrics.Observe(ToHttpCode(status), absl::ZeroDuration());
    transport->Fail(status);
  };
  if (method.role && !Includes(key->principal.role, *method.role)) {
    core_->parts.refusals.Count(
        RefusalOf("role", 403, transport->exchange().head(), &key->principal));
    return refuse("role",
                  absl::PermissionDeniedError("this key's role does not include this method"));
  }
  const bool stream = method.client_streaming() || method.server_streaming();
  if (stream && core_->streams.count() >= core_->options.max_streams) {
    return refuse("busy", absl::UnavailableError("too many streams are open; try again"));
  }
  const auto make = stream ? MakeStreamCall : MakeUnaryCall;
  make(*core_, metrics, method, std::move(key), std::move(transport))->Start();
}

void ApiHandler::EndWatches() { gateway::EndWatches(*core_); }

}  // namespace slipway::gateway
