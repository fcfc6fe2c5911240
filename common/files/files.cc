#include "common/files/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "fmt/format.h"

namespace slipway {
namespace {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

unsigned CurrentUmask() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return mask;
}

}  // namespace

AtomicFile::AtomicFile(std::string path, std::string temporary, int fd)
    : path_(std::move(path)), temporary_(std::move(temporary)), fd_(fd) {}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::move(other.temporary_)),
      fd_(std::exchange(other.fd_, -1)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  if (this != &other) {
    Discard();
    path_ = std::move(other.path_);
    temporary_ = std::move(other.temporary_);
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

AtomicFile::~AtomicFile() { Discard(); }

void AtomicFile::Discard() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(temporary_.c_str());
  fd_ = -1;
}

absl::StatusOr<AtomicFile> AtomicFile::Create(const std::string& path, unsigned mode) {
  std::string temporary =
      fmt::format("{}/.{}.XXXXXX", FolderOf(path), path.substr(path.rfind('/') + 1).substr(0, 128));
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return FromErrno(errno, "cannot create", path);
  AtomicFile file(path, std::move(temporary), fd);
  // Once: umask() can only be read by setting it, which other threads would see.
  static const unsigned mask = CurrentUmask();
  if (::fchmod(fd, mode & ~mask) != 0) return FromErrno(errno, "cannot set the mode of", path);
  return file;
}

absl::Status AtomicFile::Append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return FromErrno(errno, "cannot write", path_);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return absl::OkStatus();
}

absl::Status AtomicFile::Commit() {
  if (::fsync(fd_) != 0) return FromErrno(errno, "cannot sync", path_);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) {
    return FromErrno(errno, "cannot rename to", path_);
  }
  const int fd = std::exchange(fd_, -1);
  if (::close(fd) != 0) return FromErrno(errno, "cannot close", path_);
  return SyncFolder(FolderOf(path_));
}

absl::Status WriteFileAtomically(const std::string& path, std::string_view bytes, unsigned mode) {
  ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, mode));
  RETURN_IF_ERROR(file.Append(bytes));
  return file.Commit();
}

absl::Status SyncFolder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FromErrno(errno, "cannot open", folder);
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  return result == 0 ? absl::OkStatus() : FromErrno(error, "cannot sync", folder);
}

absl::StatusOr<std::string> ReadFile(const std::string& path, uint64_t limit_bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FromErrno(errno, "cannot open", path);
  const auto read_all = [&]() -> absl::StatusOr<std::string> {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return FromErrno(errno, "cannot look at", path);
    if (!S_ISREG(info.st_mode)) {
      return absl::InvalidArgumentError(fmt::format("{} is no regular file", path));
    }
    if (static_cast<uint64_t>(info.st_size) > limit_bytes) return TooLarge(path, limit_bytes);
    std::string bytes(static_cast<size_t>(info.st_size), '\0');
    size_t filled = 0;
    while (filled < bytes.size()) {
      const ssize_t got = ::read(fd, bytes.data() + filled, bytes.size() - filled);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return FromErrno(errno, "cannot read", path);
      if (got == 0) break;  // it shrank meanwhile
      filled += static_cast<size_t>(got);
    }
    bytes.resize(filled);
    return bytes;
  };
  auto result = read_all();
  ::close(fd);
  return result;
}

}  // namespace slipway
