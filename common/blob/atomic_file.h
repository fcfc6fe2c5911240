#ifndef SLIPWAY_COMMON_BLOB_ATOMIC_FILE_H_
#define SLIPWAY_COMMON_BLOB_ATOMIC_FILE_H_

#include <sys/types.h>

#include <string>
#include <string_view>

#include "common/blob/file_system.h"
#include "common/status/status.h"

namespace slipway {

/// Puts `bytes` at `path` so that a reader, a crash or a power cut finds the old file or the new
/// one, never a part: a temporary file beside it (".<name>.tmp-<pid>-<n>"), fsync, rename, fsync of
/// the folder. The folder must exist. Any thread.
/// Errors: StorageFull, those of FromErrno.
absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes,
                                 mode_t mode = 0644, FileSystem& files = FileSystem::Real());

/// The whole file. Errors: kNotFound, TooLarge over `max_bytes`, those of FromErrno.
absl::StatusOr<std::string> ReadFile(const std::string& path, size_t max_bytes = 64u << 20,
                                     FileSystem& files = FileSystem::Real());

/// Makes `path` and its absent parents, and syncs each folder that gained an entry, so that what
/// is later synced inside it cannot be lost with the folder itself. OK when it is there.
absl::Status MakeDirectories(const std::string& path, mode_t mode = 0700,
                             FileSystem& files = FileSystem::Real());

}  // namespace slipway

#endif  // SLIPWAY_COMMON_BLOB_ATOMIC_FILE_H_
