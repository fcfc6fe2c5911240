#include "common/grpc/edge.h"

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <utility>

#include "common/crypto/random.h"
#include "common/grpc/client.h"
#include "common/grpc/method_policy.h"
#include "common/grpc/status.h"
#include "common/log/log.h"
#include "fmt/format.h"
#include "grpcpp/server_context.h"
#include "prometheus/counter.h"
#include "prometheus/histogram.h"

namespace slipway {
namespace {

constexpr int kCodes = 17;  // OK to UNAUTHENTICATED

// The one value of `key`.
std::string_view MetadataValue(const grpc::ServerContextBase& context, const char* key) {
  const auto [begin, end] = context.client_metadata().equal_range(key);
  if (begin == end || std::next(begin) != end) return "";
  return {begin->second.data(), begin->second.size()};
}

// What goes wrong inside is nothing that a caller can mend, and may name what it must not know.
bool IsOurFault(absl::StatusCode code) {
  return code == absl::StatusCode::kInternal || code == absl::StatusCode::kUnknown ||
         code == absl::StatusCode::kDataLoss;
}

Severity SeverityOf(absl::StatusCode code) {
  if (IsOurFault(code)) return Severity::kError;
  switch (code) {
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:
      return Severity::kWarning;
    case absl::StatusCode::kCancelled:
      return Severity::kDebug;
    default:
      return Severity::kInfo;
  }
}

// What a server says that has too much to do. Each such line would add to that.
bool IsOfOverload(absl::StatusCode code) {
  return code == absl::StatusCode::kUnavailable || code == absl::StatusCode::kResourceExhausted ||
         code == absl::StatusCode::kDeadlineExceeded;
}

// Lines of overload in a second.
constexpr int64_t kLinesASecond = 10;

std::string CodeName(absl::StatusCode code) { return absl::StatusCodeToString(code); }

}  // namespace

class ServiceEdge::Impl {
 public:
  Impl(ServicePolicy policy, const TokenVerifier& verifier, Metrics& metrics, const Clock& clock)
      : policy_(std::move(policy)),
        verifier_(verifier),
        metrics_(metrics),
        clock_(clock),
        measures_(policy_.methods.size()) {
    for (size_t i = 0; i < measures_.size(); ++i) {
      measures_[i].label = fmt::format("{}/{}", policy_.service, policy_.methods[i].name);
      measures_[i].duration =
          &metrics_.Histogram("grpc_call_duration_seconds", "How long calls took.",
                              Metrics::LatencyBuckets(), {{"method", measures_[i].label}});
      CallsCounter(measures_[i], absl::StatusCode::kOk);
    }
  }

  int MethodIndex(std::string_view name) const {
    for (size_t i = 0; i < policy_.methods.size(); ++i) {
      if (policy_.methods[i].name == name) return static_cast<int>(i);
    }
    std::fprintf(stderr, "%s has no method %s\n", policy_.service.c_str(),
                 std::string(name).c_str());
    std::abort();
  }

  const std::string& service() const { return policy_.full_name; }

  absl::StatusOr<CallContext> Admit(const grpc::ServerContextBase& context, int index) {
    CallHead head = {.token = MetadataValue(context, kTokenMetadata),
                     .request_id = MetadataValue(context, kRequestIdMetadata)};
    const auto deadline = context.deadline();
    if (deadline != std::chrono::system_clock::time_point::max()) {
      head.timeout = absl::FromChrono(deadline) - clock_.Now();
    }
    return Admit(head, index);
  }

  absl::StatusOr<CallContext> Admit(const CallHead& head, int index) {
    const absl::Duration start = clock_.Monotonic();
    const ServicePolicy::Method& method = policy_.methods[static_cast<size_t>(index)];
    std::string request_id =
        IsRequestId(head.request_id) ? std::string(head.request_id) : RandomHex(16);

    absl::StatusOr<std::shared_ptr<const Principal>> principal = verifier_.Verify(head.token);
    if (!principal.ok()) return Refuse(index, start, request_id, nullptr, principal.status());
    if (!method.Allows((*principal)->caller)) {
      return Refuse(index, start, request_id, principal->get(),
                    absl::PermissionDeniedError(fmt::format(
                        "{} may not call {}", ServiceName((*principal)->caller), method.name)));
    }
    const Principal& who = **principal;
    return CallContext{
        who, std::move(request_id), DeadlineOf(head, method), *std::move(principal), index, start};
  }

  absl::Status Finish(const CallContext& call, const absl::Status& status) {
    Measure(call.method, call.start, status.code());
    return Report(call, status);
  }

  absl::Status Report(const CallContext& call, const absl::Status& status) {
    if (status.ok()) return status;
    LogFailure("call_failed", call.method, call.start, call.request_id, &call.principal, status);
    if (!IsOurFault(status.code())) return status;
    return absl::Status(status.code(),
                        fmt::format("an internal error; its detail is in the log of the service, "
                                    "under request id {}",
                                    call.request_id));
  }

 private:
  // What a method's calls are counted with; found without a look-up.
  struct Measures {
    std::string label;
    prometheus::Histogram* duration = nullptr;
    std::array<std::atomic<prometheus::Counter*>, kCodes> calls{};
  };

  absl::Time DeadlineOf(const CallHead& head, const ServicePolicy::Method& method) const {
    if (head.timeout < absl::InfiniteDuration()) return clock_.Now() + head.timeout;
    return method.streams ? absl::InfiniteFuture() : clock_.Now() + kDefaultDeadline;
  }

  prometheus::Counter& CallsCounter(Measures& measures, absl::StatusCode code) {
    const int place = static_cast<int>(code) < kCodes
                          ? static_cast<int>(code)
                          : static_cast<int>(absl::StatusCode::kUnknown);
    std::atomic<prometheus::Counter*>& counter = measures.calls[static_cast<size_t>(place)];
    if (prometheus::Counter* known = counter.load(std::memory_order_acquire)) return *known;
    prometheus::Counter& made = metrics_.Counter(
        "grpc_calls_total", "Calls that have ended, by method and status code.",
        {{"method", measures.label}, {"code", CodeName(static_cast<absl::StatusCode>(place))}});
    counter.store(&made, std::memory_order_release);
    return made;
  }

  void Measure(int index, absl::Duration start, absl::StatusCode code) {
    Measures& measures = measures_[static_cast<size_t>(index)];
    measures.duration->Observe(absl::ToDoubleSeconds(clock_.Monotonic() - start));
    CallsCounter(measures, code).Increment();
  }

  absl::Status Refuse(int index, absl::Duration start, const std::string& request_id,
                      const Principal* principal, absl::Status status) {
    Measure(index, start, status.code());
    LogFailure("call_refused", index, start, request_id, principal, status);
    return status;
  }

  void LogFailure(std::string_view event, int index, absl::Duration start,
                  const std::string& request_id, const Principal* principal,
                  const absl::Status& status) const {
    const Severity severity = SeverityOf(status.code());
    if (!LogEnabled(severity)) return;
    if (IsOfOverload(status.code()) && !MayTell()) {
      untold_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    Log(severity, event,
        {{"method", measures_[static_cast<size_t>(index)].label},
         {"request_id", request_id},
         {"tenant", principal != nullptr ? std::string_view(principal->tenant) : ""},
         {"caller", principal != nullptr ? ServiceName(principal->caller) : ""},
         {"code", CodeName(status.code())},
         {"message", std::string(status.message())},
         {"duration_seconds", clock_.Monotonic() - start}});
    const int64_t untold = untold_.exchange(0, std::memory_order_relaxed);
    if (untold > 0) Log(severity, "calls_failed_untold", {{"count", untold}});
  }

  // True for a few callers each second.
  bool MayTell() const {
    const int64_t second = absl::ToInt64Seconds(clock_.Monotonic());
    if (second_.exchange(second, std::memory_order_relaxed) != second) told_ = 0;
    return told_.fetch_add(1, std::memory_order_relaxed) < kLinesASecond;
  }

  const ServicePolicy policy_;
  const TokenVerifier& verifier_;
  Metrics& metrics_;
  const Clock& clock_;
  std::vector<Measures> measures_;
  // Of the current second, and since the last line.
  mutable std::atomic<int64_t> second_ = -1;
  mutable std::atomic<int64_t> told_ = 0;
  mutable std::atomic<int64_t> untold_ = 0;
};

ServiceEdge::ServiceEdge(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ServiceEdge::~ServiceEdge() = default;

absl::StatusOr<std::unique_ptr<ServiceEdge>> ServiceEdge::Create(
    const google::protobuf::ServiceDescriptor* service, const TokenVerifier& verifier,
    Metrics& metrics, const Clock& clock) {
  ASSIGN_OR_RETURN(ServicePolicy policy, ReadPolicy(*service));
  return std::unique_ptr<ServiceEdge>(
      new ServiceEdge(std::make_unique<Impl>(std::move(policy), verifier, metrics, clock)));
}

absl::StatusOr<std::unique_ptr<ServiceEdge>> ServiceEdge::Create(std::string_view service,
                                                                 const TokenVerifier& verifier,
                                                                 Metrics& metrics,
                                                                 const Clock& clock) {
  ASSIGN_OR_RETURN(const auto* descriptor, FindService(service));
  return Create(descriptor, verifier, metrics, clock);
}

absl::StatusOr<std::unique_ptr<ServiceEdge>> ServiceEdge::CreateWithPolicies(
    std::string_view service, const std::vector<MethodPolicy>& policies,
    const TokenVerifier& verifier, Metrics& metrics, const Clock& clock) {
  ASSIGN_OR_RETURN(const auto* descriptor, FindService(service));
  ASSIGN_OR_RETURN(ServicePolicy policy, ApplyPolicies(*descriptor, policies));
  return std::unique_ptr<ServiceEdge>(
      new ServiceEdge(std::make_unique<Impl>(std::move(policy), verifier, metrics, clock)));
}

const std::string& ServiceEdge::service() const { return impl_->service(); }

int ServiceEdge::MethodIndex(std::string_view method) const { return impl_->MethodIndex(method); }

absl::StatusOr<CallContext> ServiceEdge::Admit(const CallHead& head, int method) {
  return impl_->Admit(head, method);
}

absl::Status ServiceEdge::Report(const CallContext& call, const absl::Status& status) {
  return impl_->Report(call, status);
}

absl::Status ServiceEdge::Finish(const CallContext& call, const absl::Status& status) {
  return impl_->Finish(call, status);
}

absl::Status ServiceEdge::Guarded(absl::FunctionRef<absl::Status()> handler) {
  try {
    return handler();
  } catch (const std::exception& error) {
    return absl::InternalError(fmt::format("an exception got away: {}", error.what()));
  }
}

grpc::Status ServiceEdge::Call(grpc::ServerContextBase& context, std::string_view method,
                               absl::FunctionRef<absl::Status(const CallContext&)> handler) {
  const absl::StatusOr<CallContext> call = impl_->Admit(context, MethodIndex(method));
  if (!call.ok()) return ToGrpcStatus(call.status());
  return ToGrpcStatus(Finish(*call, Guarded([&] { return handler(*call); })));
}

}  // namespace slipway
