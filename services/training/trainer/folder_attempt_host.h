#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_FOLDER_ATTEMPT_HOST_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_FOLDER_ATTEMPT_HOST_H_

#include <string>
#include <vector>

#include "services/training/trainer/attempt_host.h"

namespace slipway::trainer {

/// An attempt without a platform: the dataset is a folder, the version to go on from another, and
/// the result goes into a third, together with `events.jsonl` (one event a line), `result.json` or
/// `failure.json`.
class FolderAttemptHost final : public AttemptHost {
 public:
  /// Makes `output_dir` where it is absent. `base_dir` may be empty: there is no base.
  static absl::StatusOr<FolderAttemptHost> Create(std::string data_dir, std::string base_dir,
                                                  std::string output_dir);

  absl::StatusOr<std::vector<std::string>> ListFiles() override;
  absl::StatusOr<std::string> FetchFile(const std::string& path) override;
  absl::StatusOr<std::string> FetchBaseFile(const std::string& path) override;
  absl::StatusOr<bool> Report(training::v1::Event event) override;
  absl::StatusOr<registry::v1::File> StoreFile(const std::string& path,
                                               const std::string& local_path) override;
  absl::Status Complete(training::v1::CompleteAttemptRequest result) override;
  absl::Status Fail(const std::string& error, bool retryable) override;

 private:
  FolderAttemptHost(std::string data_dir, std::string base_dir, std::string output_dir);

  std::string data_dir_;
  std::string base_dir_;
  std::string output_dir_;
  int64_t sequence_ = 0;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_FOLDER_ATTEMPT_HOST_H_
