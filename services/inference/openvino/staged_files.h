#ifndef SLIPWAY_SERVICES_INFERENCE_OPENVINO_STAGED_FILES_H_
#define SLIPWAY_SERVICES_INFERENCE_OPENVINO_STAGED_FILES_H_

#include <string>
#include <string_view>
#include <utility>

#include "services/inference/model_runtime.h"

namespace slipway::worker {

/// An artifact's files under their own names in a folder of their own, for readers that find one
/// file by another's path. They are the files themselves under second names (hard links), or copies
/// where they lie on another volume. Gone with this object. One thread.
class StagedFiles {
 public:
  /// Below `parent`, which is made where it is absent. `files` have relative paths without "..".
  /// Errors: StorageFull; kInternal.
  static absl::StatusOr<StagedFiles> Create(const std::string& parent, const ModelFiles& files);

  /// Removes what processes that were killed have left below `parent`. Others may be at work there.
  static void RemoveLeftovers(const std::string& parent);

  StagedFiles(StagedFiles&& other) noexcept;
  StagedFiles& operator=(StagedFiles&&) = delete;
  ~StagedFiles();

  const std::string& folder() const { return folder_; }
  std::string PathOf(std::string_view file) const;

 private:
  StagedFiles(std::string folder, int lock) : folder_(std::move(folder)), lock_(lock) {}

  std::string folder_;
  // The folder, open and locked: nobody takes it for a leftover.
  int lock_ = -1;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_OPENVINO_STAGED_FILES_H_
