#include "common/files/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "fmt/format.h"

namespace slipway {

absl::StatusOr<FileLock> FileLock::Take(const std::string& path, std::string_view what) {
  FileLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (lock.fd_ < 0) return FromErrno(errno, "cannot open", path);
  if (::flock(lock.fd_, LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return FromErrno(errno, "cannot lock", path);
  return absl::FailedPreconditionError(fmt::format("{} is in use by another process", what));
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace slipway
