#ifndef SLIPWAY_SERVICES_TRAINING_LOCAL_LAUNCHER_H_
#define SLIPWAY_SERVICES_TRAINING_LOCAL_LAUNCHER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/grpc/tls.h"
#include "common/identity/token.h"
#include "common/process/process_launcher.h"
#include "services/training/launcher.h"

namespace slipway::training {

struct LocalLauncherOptions {
  /// Path of slipway-trainer.
  std::string program;
  /// Holds jobs/<tenant>/<job>/ (attempt files, tokens, logs, checkpoints) and cache/.
  std::string data_dir;
  /// Of downloaded datasets in cache/.
  int64_t max_cache_bytes = int64_t{20} << 30;
  /// What trainers dial.
  std::string registry_address;
  std::string training_address;
  /// With what they dial them, where those are no Unix sockets.
  TlsFiles tls;
};

/// Trainers as processes of this machine: `slipway-trainer --attempt FILE`, with a token of their
/// own in a file of mode 0600 and nothing of this process's environment but the few variables that
/// a program needs. Any thread.
class LocalLauncher final : public Launcher {
 public:
  /// Makes the folders. `processes` and `tokens` outlive the launcher, and `processes` ends the
  /// trainers with this process. Errors: StorageFull, kPermissionDenied.
  static absl::StatusOr<std::unique_ptr<LocalLauncher>> Create(ProcessLauncher& processes,
                                                               TokenIssuer& tokens,
                                                               LocalLauncherOptions options);

  absl::StatusOr<std::unique_ptr<Trainer>> Launch(v1::Attempt attempt, const std::string& key_id,
                                                  absl::Duration lifetime, OnEnd on_end) override;
  absl::Status Discard(const JobName& job) override;
  absl::Status DiscardAllBut(const std::vector<JobName>& jobs) override;

 private:
  LocalLauncher(ProcessLauncher& processes, TokenIssuer& tokens, LocalLauncherOptions options);

  std::string JobsFolder() const;
  std::string FolderOf(const JobName& job) const;

  ProcessLauncher& processes_;
  TokenIssuer& tokens_;
  const LocalLauncherOptions options_;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_LOCAL_LAUNCHER_H_
