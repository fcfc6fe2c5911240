#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_INFERENCE_DOOR_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_INFERENCE_DOOR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/http/grpc/server_call.h"
#include "common/identity/token.h"
#include "common/sync/in_flight.h"
#include "common/time/clock.h"
#include "google/protobuf/message.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/oip/prediction.h"
#include "services/gateway/oip/repository.h"
#include "services/gateway/oip/worker_queries.h"
#include "services/gateway/routing/route_table.h"
#include "services/gateway/usage/recorder.h"
#include "services/gateway/usage/refusals.h"

namespace slipway::gateway {

/// inference.GRPCInferenceService at the public door: the Open Inference Protocol over gRPC, beside
/// OipHandler, which is the same over REST. A model is a deployment of the caller's tenant; the
/// repository is the operator's. Tensors pass through as they are: the bytes of a request go to a
/// worker, and those of its answer back, without being looked at. Any thread.
class InferenceDoor {
 public:
  using Call = std::shared_ptr<http::grpc::ServerCall>;
  using Key = std::shared_ptr<const KnownKey>;

  struct Options {
    std::string server_name = "slipway";
    std::string version;
    /// For a worker's answer to a prediction.
    absl::Duration timeout = absl::Seconds(30);
    /// For what workers say of their models.
    absl::Duration query_timeout = absl::Seconds(5);
    int max_streams = 512;
  };
  struct Parts {
    const Routes& routes;
    Admission& admission;
    Recorder& recorder;
    Refusals& refusals;
    TokenIssuer& tokens;
    Shadows& shadows;
    GatewayMetrics& metrics;
    const Clock& clock;
    const Repository& repository;
    std::function<bool()> ready;
  };

  /// All parts outlive the door.
  InferenceDoor(Options options, Parts parts);
  /// Waits for the calls under way; they end soon once their listener is gone.
  ~InferenceDoor() { in_flight_.WaitForNone(); }

  /// ServerLive and ServerReady need no key.
  static bool IsAnonymous(std::string_view method);

  /// False where there is no such method. `key` is null only for those that need none.
  bool Handle(Call call, std::string_view method, Key key);

 private:
  static bool CountsByItself(std::string_view method);

  struct Incoming;
  using Handler = void (InferenceDoor::*)(const Incoming&);
  using ChangeOf = void (Repository::*)(http::Exchange&, Key, const DeploymentName&,
                                        Repository::Reply) const;
  struct Method {
    Handler handler;
    RequestMetrics* metrics;
  };

  template <class Request, class Answer>
  void Receive(const Incoming& in, Answer answer);
  void Reply(const Incoming& in, const google::protobuf::Message& message);
  void Fail(const Incoming& in, const absl::Status& status);
  void Ask(const Incoming& in, std::string_view method, std::vector<WorkerQuery> queries,
           std::function<void(const std::vector<Worker::Outcome>&)> done);

  void ServerLive(const Incoming& in);
  void ServerReady(const Incoming& in);
  void ServerMetadata(const Incoming& in);
  void ModelReady(const Incoming& in);
  void ModelMetadata(const Incoming& in);
  void ModelConfig(const Incoming& in);
  void ModelStatistics(const Incoming& in);
  void RepositoryIndex(const Incoming& in);
  template <class Request, class Answer>
  void ChangeRepository(const Incoming& in, ChangeOf change);
  void RepositoryModelLoad(const Incoming& in);
  void RepositoryModelUnload(const Incoming& in);
  void SharedMemory(const Incoming& in);
  void ModelInfer(const Incoming& in);
  void ModelStreamInfer(const Incoming& in);
  void EndInfer(const Incoming& in, const std::shared_ptr<Prediction>& prediction,
                absl::StatusOr<InferAnswer> answer);

  const Options options_;
  const Parts parts_;
  std::map<std::string, Method, std::less<>> methods_;
  const Prediction::Parts predictions_;
  const Prediction::Parts streamed_;
  InFlight in_flight_;
  InFlight streams_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_INFERENCE_DOOR_H_
