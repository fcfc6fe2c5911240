#ifndef SLIPWAY_COMMON_GRPC_EDGE_H_
#define SLIPWAY_COMMON_GRPC_EDGE_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/identity/token.h"
#include "common/metrics/metrics.h"
#include "common/status/status.h"
#include "common/time/clock.h"

namespace google::protobuf {
class ServiceDescriptor;
}
namespace grpc {
class ServerContextBase;
class Status;
}  // namespace grpc

namespace slipway {

/// What a handler knows about its call. Moves, is not copied.
struct CallContext {
  /// Who asks; lives as long as this.
  const Principal& principal;
  /// The caller's, or one made here where it sent none.
  std::string request_id;
  /// Hand it down. A unary call without one has got ServiceEdge::kDefaultDeadline; a stream
  /// without one has absl::InfiniteFuture().
  absl::Time deadline;

  // ---- For ServiceEdge. ----
  std::shared_ptr<const Principal> owner;
  int method = 0;
  absl::Duration start;
};

/// What a call says of itself, whatever library brought it.
struct CallHead {
  /// The metadata kTokenMetadata and kRequestIdMetadata; "" where there is none, or more than one:
  /// then nobody can say which of them counts.
  std::string_view token;
  std::string_view request_id;
  /// How long the caller waits; infinite where it does not say.
  absl::Duration timeout = absl::InfiniteDuration();
};

/// Which services may call a method, for protos that are not ours and declare nothing.
struct MethodPolicy {
  std::string_view method;  // "ModelInfer"
  std::vector<ServiceId> callers;
};

/// The edge of one gRPC service: every call passes it, in and out. It authenticates (token in the
/// metadata), checks the method's callers, runs the handler, measures, logs failures, and maps the
/// status. Any thread.
///
/// A synchronous handler:
///
///     grpc::Status GetModel(grpc::ServerContext* ctx, const v1::GetModelRequest* request,
///                           v1::Model* out) override {
///       return edge_.Call(*ctx, "GetModel", [&](const CallContext& call) -> absl::Status {
///         ASSIGN_OR_RETURN(const ModelName name, ModelName::Parse("name", request->name()));
///         ASSIGN_OR_RETURN(*out, registry_.GetModel(call.principal, name));
///         return absl::OkStatus();
///       });
///     }
///
/// A handler that ends its calls later (Service, in service.h) calls Admit() first and Finish()
/// last, with the method's index, looked up once by MethodIndex().
///
/// Metrics: slipway_<service>_grpc_calls_total{method,code} and
/// slipway_<service>_grpc_call_duration_seconds{method}.
class ServiceEdge {
 public:
  /// For a unary call that came without a deadline.
  static constexpr absl::Duration kDefaultDeadline = absl::Seconds(60);

  /// For a service of ours, by its descriptor or its full name ("slipway.registry.v1.
  /// RegistryService"). Errors: kFailedPrecondition where any of its methods does not declare
  /// (slipway.options.v1.internal).callers; kNotFound where no such service is linked in.
  /// The other arguments outlive the edge.
  static absl::StatusOr<std::unique_ptr<ServiceEdge>> Create(
      const google::protobuf::ServiceDescriptor* service, const TokenVerifier& verifier,
      Metrics& metrics, const Clock& clock);
  static absl::StatusOr<std::unique_ptr<ServiceEdge>> Create(std::string_view service,
                                                             const TokenVerifier& verifier,
                                                             Metrics& metrics, const Clock& clock);

  /// For a service whose proto is not ours. Errors: kFailedPrecondition unless `policies` names
  /// exactly its methods, each with at least one caller.
  static absl::StatusOr<std::unique_ptr<ServiceEdge>> CreateWithPolicies(
      std::string_view service, const std::vector<MethodPolicy>& policies,
      const TokenVerifier& verifier, Metrics& metrics, const Clock& clock);

  ~ServiceEdge();

  /// Admits, runs `handler`, finishes. `method` is the short name; one that the service does not
  /// have aborts.
  grpc::Status Call(grpc::ServerContextBase& context, std::string_view method,
                    absl::FunctionRef<absl::Status(const CallContext&)> handler);

  /// "inference.GRPCInferenceService"
  const std::string& service() const;

  /// The method's place in the descriptor; aborts for a name that the service does not have.
  int MethodIndex(std::string_view method) const;

  /// Who calls, or why not: kUnauthenticated, kPermissionDenied. A refused call is over: it is
  /// counted and logged here.
  absl::StatusOr<CallContext> Admit(const CallHead& head, int method);

  /// What went wrong with a part of a call that goes on (a message of a stream): logs it, and
  /// returns the status as the caller may see it. What goes wrong inside (kInternal, kUnknown,
  /// kDataLoss) is told to the log; the caller only gets the request id to look for.
  absl::Status Report(const CallContext& call, const absl::Status& status);

  /// Ends a call that was admitted: counts, logs a failure, and returns the status as the caller
  /// may see it.
  absl::Status Finish(const CallContext& call, const absl::Status& status);

  /// What `handler` returns; an exception out of it is kInternal.
  static absl::Status Guarded(absl::FunctionRef<absl::Status()> handler);

 private:
  class Impl;
  explicit ServiceEdge(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_GRPC_EDGE_H_
