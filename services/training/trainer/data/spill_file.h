#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_SPILL_FILE_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_SPILL_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway::trainer {

/// Bytes that are written once, one after another, and then read at any place: in a file without a
/// name, so that there may be more of them than memory. A value that moves; one thread.
class SpillFile {
 public:
  /// On the volume of `folder`; empty: the system's temporary folder. Errors: what the system says.
  static absl::StatusOr<SpillFile> Create(std::string folder);

  SpillFile(SpillFile&& other) noexcept;
  SpillFile& operator=(SpillFile&& other) noexcept;
  ~SpillFile();

  /// Errors: StorageFull, what the system says.
  absl::Status Append(std::string_view bytes);

  /// How its bytes will be read.
  enum class Access { kInOrder, kAnywhere };
  /// All bytes, as a part of memory that the kernel drops where it needs the room, and reads again.
  absl::StatusOr<Buffer> Map(Access access) &&;

 private:
  SpillFile(std::string folder, int fd) : folder_(std::move(folder)), fd_(fd) {}
  absl::Status Flush();

  std::string folder_;
  int fd_ = -1;
  std::string waiting_;
  size_t size_ = 0;  // with what waits
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_SPILL_FILE_H_
