#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_CHECKPOINT_STORE_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_CHECKPOINT_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/safetensors.h"
#include "common/tensor/tensor.h"

namespace slipway::trainer {

/// The checkpoints of a job: safetensors files in one folder, whose names carry their step and
/// the SHA-256 of their content:
///
///     checkpoint-000000001876-<64 hex digits>.safetensors
///
/// Each appears whole or not at all (AtomicFile). One thread at a time.
class CheckpointStore {
 public:
  using Metadata = std::map<std::string, std::string>;

  /// Makes the folder where it is absent. Keeps the `keep` (>= 1) newest checkpoints, and those
  /// that Write is told of.
  static absl::StatusOr<CheckpointStore> Open(const std::string& folder, int keep);

  struct Written {
    int64_t step = 0;
    std::string digest;  // "sha256:<hex>"
    int64_t size_bytes = 0;
  };
  /// Writes one, then removes what is too many; those of the steps `best` stay however old they
  /// are. Errors: StorageFull and others of the volume; the older checkpoints stay then.
  absl::StatusOr<Written> Write(int64_t step, std::span<const Tensor> state,
                                const Metadata& metadata, std::span<const int64_t> best = {});

  struct Found {
    /// Absent where there is none.
    std::optional<SafetensorsFile> state;
    int64_t step = 0;
    /// What was passed over on the way, for the log: "checkpoint-...: its digest differs".
    std::vector<std::string> refused;
  };
  /// The newest one that is intact and whose metadata holds `key` = `value`. Removes what a killed
  /// write left behind.
  absl::StatusOr<Found> FindNewest(const std::string& key, const std::string& value);
  /// The same of that step.
  absl::StatusOr<Found> Find(int64_t step, const std::string& key, const std::string& value);

 private:
  struct Entry {
    int64_t step;
    std::string name;
    std::string digest;  // hex
  };
  CheckpointStore(std::string folder, int keep);
  absl::StatusOr<std::vector<Entry>> List() const;  // newest first
  absl::Status RemoveOld(std::span<const int64_t> best) const;
  // The first that is intact and whose metadata fits.
  Found FindIn(std::span<const Entry> entries, const std::string& key,
               const std::string& value) const;

  std::string folder_;
  int keep_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_CHECKPOINT_STORE_H_
