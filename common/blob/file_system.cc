#include "common/blob/file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace slipway {
namespace {

template <class Result>
Result OrErrno(Result result) {
  return result < 0 ? static_cast<Result>(-errno) : result;
}

class RealFileSystem final : public FileSystem {
 public:
  int Open(const std::string& path, int flags, mode_t mode) override {
    return OrErrno(::open(path.c_str(), flags | O_CLOEXEC, mode));
  }
  ssize_t Write(int fd, const char* data, size_t size) override {
    return OrErrno(::write(fd, data, size));
  }
  ssize_t Read(int fd, char* data, size_t size, int64_t offset) override {
    return OrErrno(::pread(fd, data, size, offset));
  }
  int64_t Size(int fd) override {
    struct stat info {};
    return ::fstat(fd, &info) < 0 ? -errno : static_cast<int64_t>(info.st_size);
  }
  int Fsync(int fd) override { return OrErrno(::fsync(fd)); }
  int Close(int fd) override { return OrErrno(::close(fd)); }
  int Rename(const std::string& from, const std::string& to) override {
    return OrErrno(::rename(from.c_str(), to.c_str()));
  }
  int Unlink(const std::string& path) override { return OrErrno(::unlink(path.c_str())); }
  int MakeDirectory(const std::string& path, mode_t mode) override {
    return OrErrno(::mkdir(path.c_str(), mode));
  }
};

}  // namespace

FileSystem& FileSystem::Real() {
  static RealFileSystem files;
  return files;
}

}  // namespace slipway
