#include "services/gateway/request_observer.h"

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "common/log/log.h"
#include "common/text/text.h"
#include "services/gateway/usage/recorder.h"

namespace slipway::gateway {
namespace {

std::string_view ProtocolVersion(int http_version) {
  switch (http_version) {
    case 10:
      return "1.0";
    case 11:
      return "1.1";
    default:
      return "2";
  }
}

}  // namespace

// Passes everything on, and counts. Its end, when its last owner lets go, is the request's.
class RequestObserver::Observed final : public http::Exchange,
                                        public std::enable_shared_from_this<Observed> {
 public:
  Observed(const RequestObserver& observer, std::shared_ptr<http::Exchange> exchange)
      : observer_(observer),
        exchange_(std::move(exchange)),
        concerns_cors_(observer.cors_.Concerns(head())),
        start_(observer.clock_.Monotonic()) {
    tracing::Tracer* const tracer = observer_.options_.tracer;
    if (tracer == nullptr) return;
    const http::Headers& headers = head().headers;
    observation_.span =
        tracer->Start("gateway.request", tracing::Kind::kServer,
                      tracing::TraceContext::Parse(headers.Get(tracing::kTraceparent),
                                                   headers.Get(tracing::kTracestate)),
                      head().request_id);
  }

  ~Observed() override {
    SetStatus(exchange_->over() ? kCallerLeft : 500);
    if (observer_.options_.access_log) LogAccess();
    DescribeSpan();
  }

  const http::RequestHead& head() const override { return exchange_->head(); }
  bool over() const override { return exchange_->over(); }
  http::Observation* observation() override { return &observation_; }
  void LimitBody(uint64_t bytes) override { exchange_->LimitBody(bytes); }
  void LimitTime(absl::Duration limit) override { exchange_->LimitTime(limit); }
  void LimitPause(absl::Duration limit) override { exchange_->LimitPause(limit); }

  void ReadBody(uint64_t limit, BodyCallback done) override {
    exchange_->ReadBody(limit, Counted(std::move(done)));
  }
  void ReadSome(BodyCallback done) override { exchange_->ReadSome(Counted(std::move(done))); }

  bool Respond(http::Response response, DoneCallback later) override {
    BeginAnswer(response.status, response.headers);
    bytes_out_ += response.body.size();
    EndAnswer(response.trailers);
    return exchange_->Respond(std::move(response), std::move(later));
  }
  void StartResponse(int status, http::Headers headers) override {
    BeginAnswer(status, headers);
    exchange_->StartResponse(status, std::move(headers));
  }
  void Write(std::string piece, DoneCallback done) override {
    bytes_out_ += piece.size();
    exchange_->Write(std::move(piece), std::move(done));
  }
  void Finish(http::Headers trailers) override {
    EndAnswer(trailers);
    exchange_->Finish(std::move(trailers));
  }
  void OnCancel(absl::AnyInvocable<void()> cancelled) override {
    exchange_->OnCancel(std::move(cancelled));
  }

 private:
  // The first word counts.
  void SetStatus(int status) {
    int none = 0;
    status_.compare_exchange_strong(none, status);
  }

  BodyCallback Counted(BodyCallback done) {
    // A read may end after the handler let go of the exchange.
    return [weak = weak_from_this(),
            done = std::move(done)](absl::StatusOr<std::string> body) mutable {
      if (const auto self = weak.lock()) {
        if (body.ok()) {
          self->bytes_in_ += body->size();
        } else {
          // The listener has answered.
          self->SetStatus(absl::IsCancelled(body.status())          ? kCallerLeft
                          : absl::IsDeadlineExceeded(body.status()) ? 408
                                                                    : ToHttpCode(body.status()));
        }
      }
      done(std::move(body));
    };
  }

  void BeginAnswer(int status, http::Headers& headers) {
    SetStatus(status);
    began_ = Elapsed();
    NoteGrpcStatus(headers);
    if (concerns_cors_) observer_.cors_.AddTo(head(), headers);
  }
  void EndAnswer(const http::Headers& trailers) {
    ended_ = Elapsed();
    NoteGrpcStatus(trailers);
  }
  // gRPC's calls all have HTTP's status 200.
  void NoteGrpcStatus(const http::Headers& headers) {
    if (const auto code = ParseNumber<int>(headers.Get("grpc-status"))) grpc_status_ = *code;
  }

  int64_t Elapsed() const {
    return absl::ToInt64Nanoseconds(observer_.clock_.Monotonic() - start_);
  }

  void LogAccess() const {
    const tracing::TraceContext* const trace = observation_.span.context();
    const absl::Duration whole = absl::Nanoseconds(ended_ > 0 ? ended_.load() : Elapsed());
    // Not the query, in which callers put what is nobody's business.
    Log(Severity::kInfo, "request_answered",
        {{"request_id", head().request_id},
         {"tenant", observation_.tenant},
         {"key_id", observation_.key_id},
         {"model", observation_.model},
         {"peer", head().peer_address},
         {"protocol", ProtocolVersion(head().http_version)},
         {"method", head().method},
         {"path", head().path()},
         {"status", status_.load()},
         {"grpc_status", grpc_status_.load()},
         {"bytes_in", bytes_in_.load()},
         {"bytes_out", bytes_out_.load()},
         {"first_byte_seconds", absl::Nanoseconds(began_.load())},
         {"seconds", whole},
         {"trace_id", trace == nullptr ? std::string() : trace->trace_id}});
  }

  // By the names of OpenTelemetry's semantic conventions, where they have one.
  void DescribeSpan() {
    tracing::Span& span = observation_.span;
    if (!span.recording()) return;
    span.Set("http.request.method", head().method);
    span.Set("url.path", head().path());
    span.Set("network.protocol.version", ProtocolVersion(head().http_version));
    span.Set("client.address", head().peer_address);
    span.Set("http.response.status_code", status_.load());
    span.Set("http.request.body.size", static_cast<int64_t>(bytes_in_.load()));
    span.Set("http.response.body.size", static_cast<int64_t>(bytes_out_.load()));
    if (grpc_status_ >= 0) span.Set("rpc.grpc.status_code", grpc_status_.load());
    span.Set("slipway.request_id", head().request_id);
    for (const auto& [key, value] : {std::pair("slipway.tenant", &observation_.tenant),
                                     {"slipway.key_id", &observation_.key_id},
                                     {"slipway.model", &observation_.model}}) {
      if (!value->empty()) span.Set(key, *value);
    }
    if (status_ >= 500) span.Fail("");
  }

  const RequestObserver& observer_;
  const std::shared_ptr<http::Exchange> exchange_;
  const bool concerns_cors_;
  const absl::Duration start_;
  http::Observation observation_;

  // Reading and answering may go on at once.
  std::atomic<int> status_ = 0;
  std::atomic<int> grpc_status_ = -1;
  std::atomic<uint64_t> bytes_in_ = 0;
  std::atomic<uint64_t> bytes_out_ = 0;
  std::atomic<int64_t> began_ = 0;  // nanoseconds from the start
  std::atomic<int64_t> ended_ = 0;
};

std::shared_ptr<http::Exchange> RequestObserver::Observe(
    std::shared_ptr<http::Exchange> exchange) const {
  if (!options_.access_log && options_.tracer == nullptr && !cors_.Concerns(exchange->head())) {
    return exchange;
  }
  return std::make_shared<Observed>(*this, std::move(exchange));
}

}  // namespace slipway::gateway
