#ifndef SLIPWAY_COMMON_BLOB_FILE_SYSTEM_H_
#define SLIPWAY_COMMON_BLOB_FILE_SYSTEM_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace slipway {

/// The file calls that durability hangs on, one to one, so that a test can refuse them (ENOSPC,
/// EIO, short writes) and record the order of syncs. Each answers as the call of its name does,
/// or -errno. Any thread.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  /// A file descriptor (close-on-exec), or -errno.
  virtual int Open(const std::string& path, int flags, mode_t mode) = 0;
  virtual ssize_t Write(int fd, const char* data, size_t size) = 0;
  virtual ssize_t Read(int fd, char* data, size_t size, int64_t offset) = 0;
  /// The size in bytes, or -errno.
  virtual int64_t Size(int fd) = 0;
  virtual int Fsync(int fd) = 0;
  virtual int Close(int fd) = 0;
  virtual int Rename(const std::string& from, const std::string& to) = 0;
  virtual int Unlink(const std::string& path) = 0;
  virtual int MakeDirectory(const std::string& path, mode_t mode) = 0;

  /// The machine's. Lives for the whole program.
  static FileSystem& Real();
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_BLOB_FILE_SYSTEM_H_
