#include "services/gateway/oip/oip_handler.h"

#include <algorithm>
#include <utility>

#include "inference/open_inference.pb.h"
#include "nlohmann/json.hpp"
#include "services/gateway/body_coding.h"
#include "services/gateway/error_body.h"
#include "services/gateway/observation.h"
#include "services/gateway/oip/descriptions.h"
#include "services/gateway/oip/message_json.h"
#include "services/gateway/oip/model_lookup.h"
#include "services/gateway/oip/prediction.h"

namespace slipway::gateway {
namespace {

constexpr uint64_t kMaxIndexBody = 4096;

http::Response JsonAnswer(int status, std::string body) {
  http::Response response;
  response.status = status;
  response.headers.Add("content-type", "application/json");
  response.body = std::move(body);
  return response;
}

absl::Status NothingHere() { return absl::NotFoundError("there is nothing here"); }

}  // namespace

OipHandler::OipHandler(Options options, Parts parts)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      infer_(parts_.metrics.Method("v2/infer")),
      metadata_(parts_.metrics.Method("v2/metadata")),
      health_(parts_.metrics.Method("v2/health")),
      other_(parts_.metrics.Method("other")),
      predictions_{parts_.routes, parts_.admission, parts_.recorder, parts_.tokens,
                   parts_.clock,  infer_,           parts_.shadows,  options_.timeout} {}

void OipHandler::Answer(http::Exchange& exchange, RequestMetrics& metrics, int status,
                        std::string body) {
  exchange.Respond(JsonAnswer(status, std::move(body)));
  metrics.Observe(status, absl::ZeroDuration());
}

void OipHandler::Refuse(http::Exchange& exchange, RequestMetrics& metrics,
                        const absl::Status& status) {
  http::Response response = ProtocolError(status, exchange.head().request_id);
  metrics.Observe(response.status, absl::ZeroDuration());
  exchange.Respond(std::move(response));
}

bool OipHandler::Takes(http::Exchange& exchange, std::string_view method) {
  if (exchange.head().method == method) return true;
  other_.Observe(405, absl::ZeroDuration());
  exchange.Respond(MethodNotAllowed(exchange.head().path(), method, exchange.head().request_id));
  return false;
}

bool OipHandler::Admit(http::Exchange& exchange, const KnownKey& key) {
  absl::StatusOr<Permit> permit = parts_.admission.Admit(key, &exchange.head());
  if (!permit.ok()) {
    Refuse(exchange, metadata_, permit.status());
    return false;
  }
  permit->KeepRequest();
  return true;
}

bool OipHandler::HandleAnonymous(const std::shared_ptr<http::Exchange>& exchange) {
  const std::string_view path = exchange->head().path();
  const bool live = path == "/v2/health/live";
  if (!live && path != "/v2/health/ready") return false;
  if (!Takes(*exchange, "GET")) return true;
  if (live) {
    Answer(*exchange, health_, 200, R"({"live":true})");
  } else if (parts_.ready()) {
    Answer(*exchange, health_, 200, R"({"ready":true})");
  } else {
    Answer(*exchange, health_, 503, R"({"ready":false,"error":"the gateway is not ready"})");
  }
  return true;
}

void OipHandler::Handle(Exchange exchange, Key key) {
  const std::string_view path = exchange->head().path();
  const auto model = ModelPath::Parse(path);
  // Those count by themselves.
  const bool counts = (model && model->verb == "infer") || RepositoryPath::Parse(path);
  if (!counts && !Admit(*exchange, *key)) return;
  if (path == "/v2" || path == "/v2/") {
    if (!Takes(*exchange, "GET")) return;
    return Answer(*exchange, metadata_, 200,
                  MessageJson(DescribeServer(options_.server_name, options_.version)));
  }
  if (path == "/v2/models/stats") {
    if (!Takes(*exchange, "GET")) return;
    return SayStatistics(std::move(exchange), *key, nullptr, "");
  }
  if (path.starts_with("/v2/repository/")) return HandleRepository(exchange, std::move(key));
  if (!model) return Refuse(*exchange, other_, NothingHere());
  HandleModel(std::move(exchange), std::move(key), *model);
}

void OipHandler::HandleModel(Exchange exchange, Key key, const ModelPath& path) {
  const bool infer = path.verb == "infer";
  if (!infer && !path.verb.empty() && path.verb != "ready" && path.verb != "config" &&
      path.verb != "stats") {
    return Refuse(*exchange, other_, NothingHere());
  }
  if (!Takes(*exchange, infer ? "POST" : "GET")) return;
  RequestMetrics& metrics = infer ? infer_ : metadata_;
  if (infer) {
    const absl::Status may = CheckMayCall(*key, exchange->head(), parts_.metrics, parts_.refusals);
    if (!may.ok()) return Refuse(*exchange, metrics, may);
  }
  auto found = FindEndpoint(parts_.routes, *key, path.name, path.version);
  if (!found.ok()) return Refuse(*exchange, metrics, found.status());
  std::shared_ptr<const Endpoint> endpoint = *std::move(found);
  NoteModel(*exchange, endpoint->name);
  const Target* target = endpoint->Choose(path.version, 0);
  if (infer) {
    return Infer(std::move(exchange), std::move(key), std::move(endpoint), target, path.version);
  }
  if (path.verb == "ready") return SayReady(*exchange, *endpoint, target);
  if (path.verb == "config") {
    return SayConfig(std::move(exchange), *key, std::move(endpoint), target);
  }
  if (path.verb == "stats") {
    return SayStatistics(std::move(exchange), *key, endpoint.get(), path.version);
  }
  Answer(*exchange, metrics, 200, MessageJson(DescribeModel(*endpoint, path.version)));
}

void OipHandler::Infer(Exchange exchange, Key key, std::shared_ptr<const Endpoint> endpoint,
                       const Target* target, const std::string& version) {
  auto prediction = std::make_shared<Prediction>(predictions_, std::move(key), std::move(endpoint),
                                                 version, exchange->head().request_id);
  std::make_shared<InferCall>(
      InferCall::Parts{options_.infer, parts_.pool, parts_.metrics, in_flight_},
      std::move(exchange), std::move(prediction),
      target == nullptr ? registry::v1::Signature::default_instance() : target->signature)
      ->Start();
}

void OipHandler::SayReady(http::Exchange& exchange, const Endpoint& endpoint,
                          const Target* target) {
  nlohmann::json body = {{"name", endpoint.name}, {"ready", true}};
  if (target != nullptr && !target->workers.empty()) {
    return Answer(exchange, metadata_, 200, body.dump());
  }
  body["ready"] = false;
  body["error"] = "no worker is ready with it";
  Answer(exchange, metadata_, 503, body.dump());
}

void OipHandler::Ask(const Exchange& exchange, const KnownKey& key, std::string_view method,
                     std::vector<WorkerQuery> queries, absl::AnyInvocable<void(Outcomes)> done) {
  const absl::StatusOr<std::string> token = parts_.tokens.Issue(key.principal, ServiceId::kWorker);
  if (!token.ok()) return Refuse(*exchange, metadata_, token.status());
  AskWorkers(method,
             {.token = *token,
              .request_id = exchange->head().request_id,
              .deadline = parts_.clock.Now() + options_.query_timeout},
             std::move(queries),
             [done = std::move(done), in_flight = std::make_unique<InFlight::Guard>(in_flight_)](
                 Outcomes outcomes) mutable { done(std::move(outcomes)); });
}

void OipHandler::SayConfig(Exchange exchange, const KnownKey& key,
                           std::shared_ptr<const Endpoint> endpoint, const Target* target) {
  auto query = ConfigQuery(*endpoint, target);
  if (!query.ok()) return Refuse(*exchange, metadata_, query.status());
  Ask(exchange, key, "ModelConfig", {*std::move(query)},
      [this, exchange, endpoint](const Outcomes& outcomes) {
        auto answers = ParseAnswers<inference::ModelConfigResponse>(outcomes);
        if (!answers.ok()) return Refuse(*exchange, metadata_, answers.status());
        inference::ModelConfig& config = *(*answers)[0].mutable_config();
        config.set_name(endpoint->name);
        Answer(*exchange, metadata_, 200, MessageJson(config));
      });
}

void OipHandler::SayStatistics(Exchange exchange, const KnownKey& key, const Endpoint* endpoint,
                               const std::string& version) {
  std::vector<WorkerQuery> queries = endpoint != nullptr
                                         ? StatisticsQueries(*endpoint, version)
                                         : StatisticsQueries(*parts_.routes.Get(), key);
  Ask(exchange, key, "ModelStatistics", std::move(queries),
      [this, exchange](const Outcomes& outcomes) {
        const auto answers = ParseAnswers<inference::ModelStatisticsResponse>(outcomes);
        if (!answers.ok()) return Refuse(*exchange, metadata_, answers.status());
        Answer(*exchange, metadata_, 200, MessageJson(MergeStatistics(*answers)));
      });
}

void OipHandler::HandleRepository(const Exchange& exchange, Key key) {
  const std::string_view path = exchange->head().path();
  const auto model = RepositoryPath::Parse(path);
  const bool index = path == "/v2/repository/index";
  if (!index && (!model || (model->verb != "load" && model->verb != "unload"))) {
    return Refuse(*exchange, other_, NothingHere());
  }
  if (!Takes(*exchange, "POST")) return;
  const absl::Status may = CheckMayManage(*key, exchange->head(), parts_.metrics, parts_.refusals);
  if (!may.ok()) return Refuse(*exchange, metadata_, may);
  if (index) return SayIndex(exchange);
  ChangeRepository(exchange, std::move(key), *model);
}

void OipHandler::SayIndex(Exchange exchange) {
  http::Exchange& reader = *exchange;
  reader.ReadBody(kMaxIndexBody, [this, exchange = std::move(exchange),
                                  in_flight = std::make_unique<InFlight::Guard>(in_flight_)](
                                     absl::StatusOr<std::string> body) {
    if (!body.ok()) return metadata_.Observe(ToHttpCode(body.status()), absl::ZeroDuration());
    body = DecodeBody(exchange->head().headers, *std::move(body), kMaxIndexBody);
    if (!body.ok()) return Refuse(*exchange, metadata_, body.status());
    bool only_ready = false;
    if (!body->empty()) {
      const auto request = nlohmann::json::parse(*body, nullptr, false);
      const auto ready =
          request.is_object() ? request.value("ready", nlohmann::json(false)) : nlohmann::json();
      if (!ready.is_boolean()) {
        return Refuse(*exchange, metadata_,
                      InvalidField("ready", "must be true or false, in a JSON object"));
      }
      only_ready = ready;
    }
    // The protocol's form over HTTP is the list alone.
    const auto index = DescribeRepository(*parts_.routes.Get(), only_ready);
    std::string list = "[";
    for (const auto& model : index.models()) {
      if (list.size() > 1) list += ',';
      list += MessageJson(model);
    }
    Answer(*exchange, metadata_, 200, list + "]");
  });
}

void OipHandler::ChangeRepository(const Exchange& exchange, Key key, const RepositoryPath& path) {
  const auto reply = [this, exchange, in_flight = std::make_shared<InFlight::Guard>(in_flight_)](
                         const absl::Status& status) {
    if (!status.ok()) return Refuse(*exchange, metadata_, status);
    Answer(*exchange, metadata_, 200, "{}");
  };
  if (path.verb == "load") {
    parts_.repository.Load(*exchange, std::move(key), path.deployment, reply);
  } else {
    parts_.repository.Unload(*exchange, std::move(key), path.deployment, reply);
  }
}

}  // namespace slipway::gateway
