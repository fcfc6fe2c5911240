#ifndef SLIPWAY_COMMON_FILES_FILES_H_
#define SLIPWAY_COMMON_FILES_FILES_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/status/status.h"

namespace slipway {

/// A file that appears whole or not at all, also through a crash or a power cut: bytes go into
/// a temporary file beside it, which Commit() syncs, renames over `path`, and then syncs the
/// folder. Without Commit() nothing stays. A value that moves; one thread.
/// Errors: StorageFull when the volume is, else what the system call said.
class AtomicFile {
 public:
  /// `mode` is the permission of the file, less the umask.
  static absl::StatusOr<AtomicFile> Create(const std::string& path, unsigned mode = 0644);

  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  ~AtomicFile();

  absl::Status Append(std::string_view bytes);

  /// Replaces what was at `path`. Call once, last.
  absl::Status Commit();

 private:
  AtomicFile(std::string path, std::string temporary, int fd);
  void Discard();

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
};

/// Writes `bytes` as an AtomicFile.
absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes,
                                 unsigned mode = 0644);

/// Makes what was created, renamed or removed in `folder` survive a power cut.
absl::Status SyncFolder(const std::string& folder);

/// Reads a regular file. Errors: kNotFound, TooLarge above `limit_bytes` (found out before
/// anything is allocated), kInvalidArgument for what is no regular file.
absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     uint64_t limit_bytes = uint64_t{1} << 30);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_FILES_FILES_H_
