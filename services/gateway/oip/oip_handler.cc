#include "services/gateway/oip/oip_handler.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/http/uri.h"
#include "common/log/log.h"
#include "common/names/names.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "inference/open_inference.pb.h"
#include "services/gateway/error_body.h"
#include "services/gateway/oip/infer_json.h"
#include "slipway/gateway/v1/gateway.pb.h"

namespace slipway::gateway {
namespace {

http::Response JsonAnswer(int status, std::string body) {
  http::Response response;
  response.status = status;
  response.headers.Add("content-type", "application/json");
  response.body = std::move(body);
  return response;
}

std::string Quoted(std::string_view text) {
  std::string out;
  AppendJsonString(text, out);
  return out;
}

void AppendTensors(std::string_view key,
                   const google::protobuf::RepeatedPtrField<registry::v1::TensorSpec>& tensors,
                   std::string& out) {
  out += fmt::format(",\"{}\":[", key);
  bool first = true;
  for (const registry::v1::TensorSpec& tensor : tensors) {
    out += fmt::format("{}{{\"name\":{},\"datatype\":{},\"shape\":[{}]}}", first ? "" : ",",
                       Quoted(tensor.name()), Quoted(tensor.datatype()),
                       fmt::join(tensor.shape(), ","));
    first = false;
  }
  out += ']';
}

// A caller's random number from the id that the listener made for the request.
uint64_t RandomOf(std::string_view request_id) { return std::hash<std::string_view>()(request_id); }

}  // namespace

// "/v2/models/<name>[/versions/<version>][/<verb>]"
struct OipHandler::ModelPath {
  std::string name;
  std::string version;
  std::string verb;

  // Nothing for any other path, and for names that no model can have.
  static std::optional<ModelPath> Parse(std::string_view path) {
    constexpr std::string_view kPrefix = "/v2/models/";
    if (!path.starts_with(kPrefix)) return std::nullopt;
    path.remove_prefix(kPrefix.size());
    std::vector<std::string_view> parts;
    for (;;) {
      const size_t slash = path.find('/');
      parts.push_back(path.substr(0, slash));
      if (slash == std::string_view::npos) break;
      path.remove_prefix(slash + 1);
      if (parts.size() > 4) return std::nullopt;
    }
    ModelPath parsed;
    size_t next = 1;
    if (parts.size() >= 3 && parts[1] == "versions") {
      parsed.version = parts[2];
      next = 3;
      if (parsed.version.empty() || parsed.version.size() > 20) return std::nullopt;
    }
    if (parts.size() > next + 1) return std::nullopt;
    if (parts.size() == next + 1) {
      parsed.verb = parts[next];
      if (parsed.verb.empty()) return std::nullopt;
    }
    auto name = http::PercentDecode(parts[0]);
    if (!name.ok() || !IsSlug(*name)) return std::nullopt;
    parsed.name = *std::move(name);
    return parsed;
  }
};

// One prediction, from its head to its row in the journal. Owned by whatever it waits for: the
// body, the pool, the worker, the peer.
class OipHandler::InferCall : public std::enable_shared_from_this<InferCall> {
 public:
  InferCall(OipHandler& handler, std::shared_ptr<http::Exchange> exchange,
            std::shared_ptr<const KnownKey> key, std::shared_ptr<const Endpoint> endpoint,
            std::string version)
      : handler_(handler),
        in_flight_(handler.in_flight_),
        exchange_(std::move(exchange)),
        key_(std::move(key)),
        endpoint_(std::move(endpoint)),
        version_(std::move(version)),
        start_(handler.parts_.clock.Monotonic()) {}

  void Start() {
    exchange_->ReadBody(handler_.options_.max_body_bytes,
                        [self = shared_from_this()](absl::StatusOr<std::string> body) {
                          self->OnBody(std::move(body));
                        });
  }

 private:
  void OnBody(absl::StatusOr<std::string> body) {
    if (!body.ok()) {
      // The listener has answered.
      Observe(ToHttpCode(body.status()));
      return;
    }
    body_ = *std::move(body);
    if (body_.size() <= handler_.options_.inline_body_bytes) return Read();
    if (!handler_.parts_.pool.Submit([self = shared_from_this()] { self->Read(); })) {
      handler_.parts_.metrics.CountRefusal("busy");
      Fail(absl::UnavailableError("the gateway is busy; try again"));
    }
  }

  void Read() {
    input_bytes_ = body_.size();
    if (const absl::Status status = ReadInferRequest(body_, request_); !status.ok()) {
      return Fail(status);
    }
    std::string().swap(body_);
    const uint64_t random = RandomOf(exchange_->head().request_id);
    target_ = endpoint_->Choose(version_, random);
    if (target_ == nullptr || target_->workers.empty()) {
      return Fail(absl::UnavailableError("no worker is ready with this model; try again"));
    }
    request_.set_model_name(endpoint_->deployment);
    request_.set_model_version(target_->version);
    absl::StatusOr<Recorder::Ticket> ticket = handler_.parts_.recorder.Admit();
    if (!ticket.ok()) return Fail(ticket.status());
    ticket_ = *std::move(ticket);
    exchange_->OnCancel([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->Cancel();
    });
    deadline_ = handler_.parts_.clock.Now() + handler_.options_.timeout;
    Send(nullptr, random);
  }

  void Send(const Worker* except, uint64_t random) {
    ++attempts_;
    worker_ = ChooseWorker(*target_, except, random);
    if (worker_ == nullptr) return Fail(absl::UnavailableError("no worker can be reached"));
    const absl::StatusOr<std::string> token =
        handler_.parts_.tokens.Issue(key_->principal, ServiceId::kWorker);
    if (!token.ok()) return Fail(token.status());
    worker_->in_flight().fetch_add(1, std::memory_order_relaxed);
    std::shared_ptr<WorkerCall> call = worker_->Infer(
        {.token = *token, .request_id = exchange_->head().request_id, .deadline = deadline_},
        request_, response_,
        [self = shared_from_this()](const absl::Status& status, bool never_sent) {
          self->OnAnswer(status, never_sent);
        });
    MutexLock lock(mutex_);
    if (cancelled_) {
      call->Cancel();
    } else {
      call_ = std::move(call);
    }
  }

  // The caller left: its work need not go on.
  void Cancel() {
    std::shared_ptr<WorkerCall> call;
    {
      MutexLock lock(mutex_);
      cancelled_ = true;
      call = std::move(call_);
    }
    if (call != nullptr) call->Cancel();
  }

  void OnAnswer(const absl::Status& status, bool never_sent) {
    worker_->in_flight().fetch_sub(1, std::memory_order_relaxed);
    if (status.ok()) return Answer();
    if (never_sent && attempts_ < handler_.options_.max_attempts) {
      // By now the worker may have been replaced.
      const std::shared_ptr<Worker> gone = worker_;
      const auto fresh = handler_.parts_.routes.Get()->Find(endpoint_->tenant, endpoint_->name);
      const Target* target = fresh == nullptr ? nullptr : fresh->Choose(target_->version, 0);
      if (target != nullptr) {
        endpoint_ = fresh;
        target_ = target;
        if (std::any_of(target->workers.begin(), target->workers.end(),
                        [&](const auto& worker) { return worker != gone; })) {
          response_.Clear();
          return Send(gone.get(), RandomOf(exchange_->head().request_id) + attempts_);
        }
      }
    }
    Fail(status);
  }

  void Answer() {
    absl::StatusOr<std::string> text =
        WriteInferResponse(response_, endpoint_->name, target_->version);
    if (!text.ok()) return Fail(text.status());

    v1::UsageRecord record;
    record.set_tenant(key_->principal.tenant);
    record.set_key_id(key_->principal.key_id);
    record.set_kind("inference");
    record.set_resource(endpoint_->deployment);
    record.set_model_version(target_->model_version);
    record.set_quantity(1);
    record.set_request_id(exchange_->head().request_id);
    record.set_http_code(200);
    record.set_input_bytes(static_cast<int64_t>(input_bytes_));
    record.set_output_bytes(static_cast<int64_t>(text->size()));
    const auto compute = response_.parameters().find(std::string(kComputeMicrosParameter));
    if (compute != response_.parameters().end()) {
      record.set_compute_micros(compute->second.int64_param());
    }
    // Before the first byte of the answer.
    if (const absl::Status status = handler_.parts_.recorder.Record(ticket_, record);
        !status.ok()) {
      return Fail(status);
    }
    const bool delivered = exchange_->Respond(
        JsonAnswer(200, *std::move(text)), [self = shared_from_this()](const absl::Status& sent) {
          self->Settle(sent.ok() ? 200 : kCallerLeft);
        });
    if (delivered) Settle(200);
  }

  void Settle(int http_code) {
    handler_.parts_.recorder.Settle(std::move(ticket_), http_code);
    Observe(http_code);
  }

  void Fail(const absl::Status& status) {
    const std::string& request_id = exchange_->head().request_id;
    http::Response response = ProtocolError(status, request_id);
    const int code = response.status;
    if (code == 500) {
      Log(Severity::kError, "prediction_failed",
          {{"endpoint", endpoint_->deployment}, {"request_id", request_id}, {"error", status}});
    }
    exchange_->Respond(std::move(response));
    Observe(code);
  }

  void Observe(int http_code) {
    const absl::Duration took = handler_.parts_.clock.Monotonic() - start_;
    handler_.infer_.Observe(http_code, took);
    endpoint_->metrics->Observe(http_code, took);
  }

  OipHandler& handler_;
  const InFlight::Guard in_flight_;
  const std::shared_ptr<http::Exchange> exchange_;
  const std::shared_ptr<const KnownKey> key_;
  std::shared_ptr<const Endpoint> endpoint_;
  const std::string version_;
  const absl::Duration start_;
  std::string body_;
  size_t input_bytes_ = 0;
  const Target* target_ = nullptr;  // of endpoint_
  std::shared_ptr<Worker> worker_;
  inference::ModelInferRequest request_;
  inference::ModelInferResponse response_;
  Recorder::Ticket ticket_;
  absl::Time deadline_;
  int attempts_ = 0;

  Mutex mutex_;
  bool cancelled_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<WorkerCall> call_ GUARDED_BY(mutex_);
};

OipHandler::OipHandler(Options options, Parts parts)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      infer_(parts_.metrics.Method("v2/infer")),
      metadata_(parts_.metrics.Method("v2/metadata")),
      health_(parts_.metrics.Method("v2/health")),
      other_(parts_.metrics.Method("other")) {}

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

void OipHandler::Handle(std::shared_ptr<http::Exchange> exchange,
                        std::shared_ptr<const KnownKey> key) {
  const std::string_view path = exchange->head().path();
  if (path == "/v2" || path == "/v2/") {
    if (!Takes(*exchange, "GET")) return;
    return Answer(*exchange, metadata_, 200,
                  fmt::format(R"({{"name":{},"version":{},"extensions":[]}})",
                              Quoted(options_.server_name), Quoted(options_.version)));
  }
  const auto model = ModelPath::Parse(path);
  if (!model) return Refuse(*exchange, other_, absl::NotFoundError("there is nothing here"));
  HandleModel(std::move(exchange), std::move(key), *model);
}

void OipHandler::HandleModel(std::shared_ptr<http::Exchange> exchange,
                             std::shared_ptr<const KnownKey> key, const ModelPath& path) {
  const bool infer = path.verb == "infer";
  if (!infer && !path.verb.empty() && path.verb != "ready") {
    return Refuse(*exchange, other_, absl::NotFoundError("there is nothing here"));
  }
  if (!Takes(*exchange, infer ? "POST" : "GET")) return;
  RequestMetrics& metrics = infer ? infer_ : metadata_;
  if (infer && !Includes(key->principal.role, Role::kCaller)) {
    parts_.metrics.CountRefusal("role");
    return Refuse(*exchange, metrics,
                  absl::PermissionDeniedError("this key's role does not call models"));
  }
  const auto endpoint = parts_.routes.Get()->Find(key->principal.tenant, path.name);
  const Target* target = endpoint == nullptr ? nullptr : endpoint->Choose(path.version, 0);
  // Another tenant's model, an absent model and an absent version are told alike.
  if (endpoint == nullptr || (target == nullptr && !path.version.empty())) {
    return Refuse(*exchange, metrics,
                  NotFound(path.version.empty()
                               ? fmt::format("model {}", path.name)
                               : fmt::format("model {} version {}", path.name, path.version)));
  }
  if (infer) {
    const http::Headers& headers = exchange->head().headers;
    if (headers.Has("inference-header-content-length")) {
      return Refuse(*exchange, metrics,
                    InvalidField("inference-header-content-length",
                                 "binary tensors are not taken here; send JSON"));
    }
    std::make_shared<InferCall>(*this, std::move(exchange), std::move(key), endpoint, path.version)
        ->Start();
    return;
  }
  const bool ready = target != nullptr && !target->workers.empty();
  if (path.verb == "ready") {
    return Answer(*exchange, metrics, ready ? 200 : 503,
                  fmt::format(R"({{"name":{},"ready":{}}})", Quoted(path.name),
                              ready ? "true" : "false,\"error\":\"no worker is ready with it\""));
  }
  std::vector<std::string> versions;
  for (const Target& each : endpoint->targets) {
    if (path.version.empty() || each.version == path.version) versions.push_back(each.version);
  }
  std::string body = fmt::format(R"({{"name":{},"versions":[)", Quoted(path.name));
  for (size_t i = 0; i < versions.size(); ++i) body += (i > 0 ? "," : "") + Quoted(versions[i]);
  body += "],\"platform\":\"slipway\"";
  const registry::v1::Signature none;
  const registry::v1::Signature& signature = target == nullptr ? none : target->signature;
  AppendTensors("inputs", signature.inputs(), body);
  AppendTensors("outputs", signature.outputs(), body);
  body += ",\"properties\":{";
  if (target != nullptr && !target->labels.empty()) {
    // Properties are texts, so that the list is one too: a JSON list.
    std::string labels = "[";
    for (const std::string& label : target->labels) {
      labels += (labels.size() > 1 ? "," : "") + Quoted(label);
    }
    body += "\"labels\":" + Quoted(labels + "]");
  }
  body += "}}";
  Answer(*exchange, metrics, 200, std::move(body));
}

}  // namespace slipway::gateway
