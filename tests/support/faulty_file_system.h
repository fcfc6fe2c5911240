#ifndef SLIPWAY_TESTS_SUPPORT_FAULTY_FILE_SYSTEM_H_
#define SLIPWAY_TESTS_SUPPORT_FAULTY_FILE_SYSTEM_H_

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "common/blob/file_system.h"
#include "common/sync/mutex.h"

namespace slipway {

/// The real file system, which records what it is asked to do and fails when told. Any thread.
class FaultyFileSystem final : public FileSystem {
 public:
  struct Call {
    std::string operation;  // "open", "write", "fsync", "rename", ...
    std::string path;       // the file's or folder's (for rename: where it went)
    bool operator==(const Call&) const = default;
  };

  /// The `number`-th call from now that may change the disk (open, write, fsync, rename, mkdir)
  /// fails with `error`; the others succeed.
  void FailCall(int number, int error) {
    MutexLock lock(mutex_);
    fail_in_ = number;
    error_ = error;
  }
  /// Every one of those calls fails until FailNone.
  void FailAll(int error) {
    MutexLock lock(mutex_);
    fail_in_ = -1;
    error_ = error;
  }
  void FailNone() {
    MutexLock lock(mutex_);
    error_ = 0;
  }
  /// True when the call that FailCall chose has come.
  bool failed() const {
    MutexLock lock(mutex_);
    return failed_;
  }
  /// Each write takes at most this many bytes, every other one is interrupted first.
  void ShortWrites(size_t most) {
    MutexLock lock(mutex_);
    most_ = most;
  }

  std::vector<Call> TakeCalls() {
    MutexLock lock(mutex_);
    return std::exchange(calls_, {});
  }

  int Open(const std::string& path, int flags, mode_t mode) override {
    const bool changes = (flags & O_CREAT) != 0;
    if (changes) {
      if (const int error = Next("open", path); error != 0) return -error;
    }
    const int fd = Real().Open(path, flags, mode);
    MutexLock lock(mutex_);
    if (fd >= 0) paths_[fd] = path;
    return fd;
  }
  ssize_t Write(int fd, const char* data, size_t size) override {
    size_t most = size;
    {
      MutexLock lock(mutex_);
      if (most_ > 0) {
        interrupt_ = !interrupt_;
        if (interrupt_) return -EINTR;
        most = std::min(size, most_);
      }
    }
    if (const int error = Next("write", PathOf(fd)); error != 0) return -error;
    return Real().Write(fd, data, most);
  }
  ssize_t Read(int fd, char* data, size_t size, int64_t offset) override {
    return Real().Read(fd, data, size, offset);
  }
  int64_t Size(int fd) override { return Real().Size(fd); }
  int Fsync(int fd) override {
    if (const int error = Next("fsync", PathOf(fd)); error != 0) return -error;
    return Real().Fsync(fd);
  }
  int Close(int fd) override { return Real().Close(fd); }
  int Rename(const std::string& from, const std::string& to) override {
    if (const int error = Next("rename", to); error != 0) return -error;
    return Real().Rename(from, to);
  }
  int Unlink(const std::string& path) override { return Real().Unlink(path); }
  int MakeDirectory(const std::string& path, mode_t mode) override {
    if (const int error = Next("mkdir", path); error != 0) return -error;
    return Real().MakeDirectory(path, mode);
  }

 private:
  int Next(const std::string& operation, const std::string& path) {
    MutexLock lock(mutex_);
    calls_.push_back({operation, path});
    if (error_ == 0) return 0;
    if (fail_in_ < 0) return error_;
    if (fail_in_ == 0 || --fail_in_ > 0) return 0;
    failed_ = true;
    return error_;
  }
  std::string PathOf(int fd) {
    MutexLock lock(mutex_);
    return paths_[fd];
  }

  mutable Mutex mutex_;
  std::vector<Call> calls_ GUARDED_BY(mutex_);
  std::map<int, std::string> paths_ GUARDED_BY(mutex_);
  int fail_in_ GUARDED_BY(mutex_) = 0;
  int error_ GUARDED_BY(mutex_) = 0;
  bool failed_ GUARDED_BY(mutex_) = false;
  size_t most_ GUARDED_BY(mutex_) = 0;
  bool interrupt_ GUARDED_BY(mutex_) = false;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_FAULTY_FILE_SYSTEM_H_
