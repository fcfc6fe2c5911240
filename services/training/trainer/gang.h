#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_GANG_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_GANG_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"

namespace at {
class Tensor;
}

namespace slipway::trainer {

struct GangOptions {
  /// 0 leads, the others follow.
  int rank = 0;
  int processes = 1;
  /// Where they find each other: a file below a folder that nobody else may enter.
  std::string meeting_file;
  /// SharedMemory of the leader, by which they add up what lies on the CPU. Empty: by c10d.
  std::string shared_memory;
  /// How far the others may be behind before they count as lost.
  absl::Duration patience = absl::Minutes(2);
};

/// The processes that train one model together, each on its share of every batch
/// (c10d's ProcessGroupGloo, over loopback: they run on one machine; and SharedSums). All call the
/// same methods in the same order. What a sum gives is bit for bit the same in each. One thread.
///
/// Errors are thrown (std::exception): another process is gone, or late by more than the patience.
/// The gang is of no use any more then.
class Gang {
 public:
  /// Returns when all are there. Errors: kUnavailable (they are not, in time).
  static absl::StatusOr<std::unique_ptr<Gang>> Join(const GangOptions& options);
  /// Of the leader: starts the others, which are this program with `args`, "--rank R",
  /// "--meeting-file FILE" and "--shared-memory PATH", in a folder that is made below `folder`; and
  /// joins them. They are killed with the gang or with this process. When one of them is lost
  /// before that, this process ends at once, by kTrainerPeerLost: whatever it is doing, it would
  /// wait for nobody. Errors: as Join; those of ProcessLauncher and of the volume.
  static absl::StatusOr<std::unique_ptr<Gang>> Lead(GangOptions options, const std::string& folder,
                                                    const std::vector<std::string>& args);
  ~Gang();

  int rank() const { return options_.rank; }
  int processes() const { return options_.processes; }

  /// Returns when all have called it, however long that takes.
  void Meet();

  /// Gives each process what the leader has in `tensor`. A follower waits for as long as it takes:
  /// the leader has other things to do.
  void Share(at::Tensor tensor);

  /// Begins to put the sum over all processes into `tensor`, which is contiguous and which the
  /// caller leaves alone meanwhile.
  void StartSum(at::Tensor tensor);
  /// Returns when all sums are there.
  void FinishSums();

 private:
  class Group;
  class Followers;
  explicit Gang(const GangOptions& options);

  const GangOptions options_;
  std::unique_ptr<Group> group_;
  // Goes first: what the group still waits for fails once they are gone.
  std::unique_ptr<Followers> followers_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_GANG_H_
