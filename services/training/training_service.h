#ifndef SLIPWAY_SERVICES_TRAINING_TRAINING_SERVICE_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINING_SERVICE_H_

#include <memory>
#include <vector>

#include "common/identity/token.h"
#include "common/metrics/metrics.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/training/plan/planner.h"
#include "services/training/training.h"

namespace grpc {
class Service;
}

namespace slipway::training {

/// The gRPC services slipway.training.v1.TrainingService (for the gateway) and AttemptService (for
/// trainers): authenticate, parse names, call the domain.
class TrainingEdge {
 public:
  /// All arguments outlive the edge. Errors: those of ServiceEdge::Create.
  static absl::StatusOr<std::unique_ptr<TrainingEdge>> Create(Training& training, Planner& planner,
                                                              const TokenVerifier& verifier,
                                                              Metrics& metrics, const Clock& clock);
  ~TrainingEdge();

  /// What a GrpcServer serves; owned by the edge.
  std::vector<grpc::Service*> services() const;

 private:
  class Impl;
  explicit TrainingEdge(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINING_SERVICE_H_
