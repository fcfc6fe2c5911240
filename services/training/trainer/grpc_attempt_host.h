#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_GRPC_ATTEMPT_HOST_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_GRPC_ATTEMPT_HOST_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/grpc/tls.h"
#include "common/time/clock.h"
#include "services/training/trainer/attempt_host.h"

namespace slipway::trainer {

struct GrpcAttemptHostOptions {
  /// Job, number, dataset, base, cache folder, addresses and token file.
  training::v1::Attempt attempt;
  TlsFiles tls;
  /// How long a peer that cannot be reached is tried again, before the attempt is given up.
  absl::Duration patience = absl::Minutes(10);
};

/// The platform: files of dataset and base come from the registry into a cache by digest, result
/// files go to it, events and verdicts to training. A peer that is restarting is waited for; events
/// are kept meanwhile and never hold the training up.
class GrpcAttemptHost final : public AttemptHost {
 public:
  /// `clock` outlives the host. Errors: what the token file or the addresses are wrong in.
  static absl::StatusOr<std::unique_ptr<GrpcAttemptHost>> Create(GrpcAttemptHostOptions options,
                                                                 const Clock& clock);
  ~GrpcAttemptHost() override;

  absl::StatusOr<std::vector<std::string>> ListFiles() override;
  absl::StatusOr<std::string> FetchFile(const std::string& path) override;
  absl::StatusOr<std::string> FetchBaseFile(const std::string& path) override;
  absl::StatusOr<bool> Report(training::v1::Event event) override;
  absl::StatusOr<registry::v1::File> StoreFile(const std::string& path,
                                               const std::string& local_path) override;
  absl::Status Complete(training::v1::CompleteAttemptRequest result) override;
  absl::Status Fail(const std::string& error, bool retryable) override;

 private:
  class Impl;
  explicit GrpcAttemptHost(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_GRPC_ATTEMPT_HOST_H_
