#ifndef SLIPWAY_COMMON_FILES_FILE_LOCK_H_
#define SLIPWAY_COMMON_FILES_FILE_LOCK_H_

#include <string>
#include <string_view>
#include <utility>

#include "common/status/status.h"

namespace slipway {

/// What one process has to itself for as long as it lives, kill -9 included: a lock (flock) on a
/// file that is there for nothing else. A value that moves; one thread.
class FileLock {
 public:
  /// Makes the file where it is absent; it stays. Errors: kFailedPrecondition ("`what` is in use by
  /// another process"), else what the system call said.
  static absl::StatusOr<FileLock> Take(const std::string& path, std::string_view what);

  FileLock() = default;
  FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileLock& operator=(FileLock&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileLock();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_FILES_FILE_LOCK_H_
