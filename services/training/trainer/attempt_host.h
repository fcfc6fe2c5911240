#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_ATTEMPT_HOST_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_ATTEMPT_HOST_H_

#include <string>
#include <vector>

#include "common/status/status.h"
#include "slipway/registry/v1/registry.pb.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::trainer {

/// What a trainer needs from outside: files in, events and files out, and somebody to hand the
/// result to. One thread.
class AttemptHost {
 public:
  virtual ~AttemptHost() = default;

  /// The paths of all files of the dataset. Errors: what the system says.
  virtual absl::StatusOr<std::vector<std::string>> ListFiles() = 0;

  /// Where the dataset's file `path` lies on this machine, checked against its digest. Errors:
  /// kInvalidArgument (the dataset has no such file), kUnavailable, StorageFull, kDataLoss.
  virtual absl::StatusOr<std::string> FetchFile(const std::string& path) = 0;

  /// The same for a file of the version that the training goes on from. Errors: as above.
  virtual absl::StatusOr<std::string> FetchBaseFile(const std::string& path) = 0;

  /// Tells what happened; sequence, time and attempt are filled in. True where the trainer is to
  /// stop. Does not wait for long: an error means that the event may be lost, and training goes on.
  virtual absl::StatusOr<bool> Report(training::v1::Event event) = 0;

  /// Takes a file of the result over; `path` is its path in the artifact. Errors: kUnavailable,
  /// StorageFull.
  virtual absl::StatusOr<registry::v1::File> StoreFile(const std::string& path,
                                                       const std::string& local_path) = 0;

  /// Hands in the result; job and attempt are filled in. Errors: kUnavailable after long trying;
  /// any other means that it was refused.
  virtual absl::Status Complete(training::v1::CompleteAttemptRequest result) = 0;

  /// Says that there will be none. Errors as Complete.
  virtual absl::Status Fail(const std::string& error, bool retryable) = 0;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_ATTEMPT_HOST_H_
