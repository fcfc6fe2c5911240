// Loaded into a process by LD_PRELOAD: writes on a tape (tape.h) what is done to the files below a
// folder, so that disk.h can tell what any power cut would have left of them.
//
// Recorded after the call has been made, so that what a sync is said to cover was there when it
// began. Not recorded: what is written through a shared mapping. SQLite maps only its -shm file,
// which the first process to open a database empties; any other shared, writable mapping below the
// folder ends the process, so that no test believes a tape that lacks something.
//
// Uses nothing but system calls: it runs inside of libc's own functions.

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "tests/support/powercut/tape.h"

namespace {

using slipway::powercut::Frame;
using slipway::powercut::Operation;

int tape = -1;
char root[PATH_MAX];
size_t root_size = 0;

__attribute__((constructor)) void Begin() {
  const char* folder = ::getenv(slipway::powercut::kRootVariable);
  const char* file = ::getenv(slipway::powercut::kTapeVariable);
  if (folder == nullptr || file == nullptr || std::strlen(folder) >= sizeof(root)) return;
  std::strcpy(root, folder);
  root_size = std::strlen(root);
  tape = static_cast<int>(
      ::syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
}

// Keeps errno as the call has left it.
class KeepErrno {
 public:
  ~KeepErrno() { errno = saved_; }

 private:
  const int saved_ = errno;
};

class Path {
 public:
  /// Of an open file, or of `name` in the folder `folder_fd` (AT_FDCWD: the working directory).
  explicit Path(int fd) { Link(fd); }
  Path(int folder_fd, const char* name) {
    if (name[0] != '/') {
      Link(folder_fd);
      bytes_[size_++] = '/';
    }
    const size_t length = std::strlen(name);
    if (size_ + length >= sizeof(bytes_)) std::abort();
    std::memcpy(bytes_ + size_, name, length);
    size_ += length;
  }

  std::string_view view() const { return {bytes_, size_}; }
  bool recorded() const {
    return tape >= 0 && size_ >= root_size && std::memcmp(bytes_, root, root_size) == 0 &&
           (size_ == root_size || bytes_[root_size] == '/');
  }

 private:
  void Link(int fd) {
    char link[64] = "/proc/self/cwd";
    if (fd != AT_FDCWD) {
      char digits[16];
      size_t count = 0;
      for (int rest = fd; count == 0 || rest > 0; rest /= 10) {
        digits[count++] = static_cast<char>('0' + rest % 10);
      }
      std::strcpy(link, "/proc/self/fd/");
      char* end = link + std::strlen(link);
      while (count > 0) *end++ = digits[--count];
      *end = '\0';
    }
    const auto length = ::syscall(SYS_readlinkat, AT_FDCWD, link, bytes_, sizeof(bytes_));
    size_ = length < 0 ? 0 : static_cast<size_t>(length);
  }

  char bytes_[PATH_MAX];
  size_t size_ = 0;
};

struct What {
  Operation operation;
  std::string_view path;
  std::string_view second = {};
  uint64_t inode = 0;
  int64_t offset = 0;
  std::string_view data = {};
};

void Record(const What& what) {
  Frame frame{what.operation,
              static_cast<uint32_t>(what.path.size()),
              static_cast<uint32_t>(what.second.size()),
              static_cast<uint32_t>(what.data.size()),
              what.inode,
              what.offset,
              ::syscall(SYS_gettid)};
  iovec pieces[] = {{&frame, sizeof(frame)}, {}, {}, {}};
  const std::string_view texts[] = {what.path, what.second, what.data};
  size_t size = sizeof(frame);
  for (int i = 0; i < 3; ++i) {
    pieces[i + 1] = {const_cast<char*>(texts[i].data()), texts[i].size()};
    size += texts[i].size();
  }
  // Whole, or the tape is worth nothing.
  if (::syscall(SYS_writev, tape, pieces, 4) != static_cast<long>(size)) std::abort();
}

uint64_t InodeOf(int fd) {
  struct stat info;
  return ::fstat(fd, &info) == 0 ? info.st_ino : 0;
}

int64_t SizeOf(int fd) {
  struct stat info;
  return ::fstat(fd, &info) == 0 ? info.st_size : 0;
}

void RecordFile(Operation operation, int fd, int64_t offset, std::string_view data = {}) {
  const KeepErrno keep;
  const Path path(fd);
  if (path.recorded()) Record({operation, path.view(), {}, InodeOf(fd), offset, data});
}

int Open(int folder, const char* name, int flags, mode_t mode) {
  const auto open = [&](int with) {
    return static_cast<int>(::syscall(SYS_openat, folder, name, with, mode));
  };
  if ((flags & (O_CREAT | O_TRUNC)) == 0) return open(flags);
  const Path path(folder, name);
  if (!path.recorded()) return open(flags);
  // Who makes the file is told by who opens it with O_EXCL.
  int fd = (flags & O_CREAT) != 0 ? open(flags | O_EXCL) : -1;
  if (fd >= 0) {
    RecordFile(Operation::kCreate, fd, 0);
    return fd;
  }
  if ((flags & O_CREAT) != 0 && (errno != EEXIST || (flags & O_EXCL) != 0)) return fd;
  fd = open(flags & ~O_CREAT);
  if (fd >= 0 && (flags & O_TRUNC) != 0) RecordFile(Operation::kTruncate, fd, 0);
  return fd;
}

mode_t ModeOf(int flags, va_list more) {
  return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;
}

// A function of libc that this one stands before.
template <class Function>
Function* Next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

int MakeTemporary(char* pattern, int flags) {
  static auto* const next = Next<int(char*, int)>("mkostemp");
  const int fd = next(pattern, flags);
  if (fd >= 0) RecordFile(Operation::kCreate, fd, 0);
  return fd;
}

int Sync(long call, int fd) {
  RecordFile(Operation::kSyncBegin, fd, call == SYS_fdatasync);
  const int result = static_cast<int>(::syscall(call, fd));
  if (result == 0) RecordFile(Operation::kSyncEnd, fd, 0);
  return result;
}

ssize_t NoteWrite(int fd, const void* bytes, ssize_t written, int64_t offset) {
  if (written > 0) {
    RecordFile(Operation::kWrite, fd, offset,
               {static_cast<const char*>(bytes), static_cast<size_t>(written)});
  }
  return written;
}

int Move(Operation operation, int result, const Path& from, const Path& to) {
  if (result != 0) return result;
  const KeepErrno keep;
  // What comes from elsewhere has no history here.
  if (from.recorded() != to.recorded()) std::abort();
  if (from.recorded()) Record({operation, from.view(), to.view()});
  return result;
}

int Remove(int folder, const char* name, int flags) {
  const Path path(folder, name);
  const int result = static_cast<int>(::syscall(SYS_unlinkat, folder, name, flags));
  const KeepErrno keep;
  if (result == 0 && path.recorded()) Record({Operation::kRemove, path.view()});
  return result;
}

}  // namespace

#define EXPORT __attribute__((visibility("default")))

extern "C" {

EXPORT int openat(int folder, const char* name, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = ModeOf(flags, more);
  va_end(more);
  return Open(folder, name, flags, mode);
}
EXPORT int openat64(int folder, const char* name, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = ModeOf(flags, more);
  va_end(more);
  return Open(folder, name, flags, mode);
}
EXPORT int open(const char* name, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = ModeOf(flags, more);
  va_end(more);
  return Open(AT_FDCWD, name, flags, mode);
}
EXPORT int open64(const char* name, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const mode_t mode = ModeOf(flags, more);
  va_end(more);
  return Open(AT_FDCWD, name, flags, mode);
}
EXPORT int creat(const char* name, mode_t mode) {
  return Open(AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC, mode);
}
EXPORT int mkostemp(char* pattern, int flags) { return MakeTemporary(pattern, flags); }
EXPORT int mkostemp64(char* pattern, int flags) { return MakeTemporary(pattern, flags); }
EXPORT int mkstemp(char* pattern) { return MakeTemporary(pattern, 0); }
EXPORT int mkstemp64(char* pattern) { return MakeTemporary(pattern, 0); }

EXPORT int mkdir(const char* name, mode_t mode) noexcept {
  const int result = static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, name, mode));
  const KeepErrno keep;
  const Path path(AT_FDCWD, name);
  struct stat info;
  if (result == 0 && path.recorded() && ::stat(name, &info) == 0) {
    Record({Operation::kMakeDirectory, path.view(), {}, info.st_ino});
  }
  return result;
}

EXPORT ssize_t write(int fd, const void* bytes, size_t size) {
  const ssize_t written = ::syscall(SYS_write, fd, bytes, size);
  const KeepErrno keep;
  if (written <= 0 || !Path(fd).recorded()) return written;
  // Where it went: the file's position is now behind it.
  const auto end = ::syscall(SYS_lseek, fd, 0, SEEK_CUR);
  return NoteWrite(fd, bytes, written, end - written);
}
EXPORT ssize_t writev(int fd, const iovec* pieces, int count) {
  if (!Path(fd).recorded()) return ::syscall(SYS_writev, fd, pieces, count);
  ssize_t all = 0;
  for (int i = 0; i < count; ++i) {
    const ssize_t written = write(fd, pieces[i].iov_base, pieces[i].iov_len);
    if (written < 0) return all > 0 ? all : written;
    all += written;
    if (static_cast<size_t>(written) < pieces[i].iov_len) break;
  }
  return all;
}
EXPORT ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  return NoteWrite(fd, bytes, ::syscall(SYS_pwrite64, fd, bytes, size, offset), offset);
}
EXPORT ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  return NoteWrite(fd, bytes, ::syscall(SYS_pwrite64, fd, bytes, size, offset), offset);
}

EXPORT int ftruncate(int fd, off_t size) noexcept {
  const int result = static_cast<int>(::syscall(SYS_ftruncate, fd, size));
  if (result == 0) RecordFile(Operation::kTruncate, fd, size);
  return result;
}
EXPORT int ftruncate64(int fd, off64_t size) noexcept { return ftruncate(fd, size); }

// Only the size matters here; no program of ours punches holes.
EXPORT int fallocate(int fd, int mode, off_t offset, off_t size) {
  const int64_t before = SizeOf(fd);
  const int result = static_cast<int>(::syscall(SYS_fallocate, fd, mode, offset, size));
  if (result == 0 && SizeOf(fd) != before) RecordFile(Operation::kTruncate, fd, SizeOf(fd));
  return result;
}
EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t size) {
  return fallocate(fd, mode, offset, size);
}
EXPORT int posix_fallocate(int fd, off_t offset, off_t size) {
  return fallocate(fd, 0, offset, size) == 0 ? 0 : errno;
}
EXPORT int posix_fallocate64(int fd, off64_t offset, off64_t size) {
  return posix_fallocate(fd, offset, size);
}

// sync_file_range promises nothing after a power cut, so that it is not worth a record.
EXPORT int fsync(int fd) { return Sync(SYS_fsync, fd); }
EXPORT int fdatasync(int fd) { return Sync(SYS_fdatasync, fd); }

EXPORT int rename(const char* from, const char* to) noexcept {
  return Move(Operation::kRename, static_cast<int>(::syscall(SYS_rename, from, to)),
              Path(AT_FDCWD, from), Path(AT_FDCWD, to));
}
EXPORT int link(const char* from, const char* to) noexcept {
  return Move(Operation::kLink, static_cast<int>(::syscall(SYS_link, from, to)),
              Path(AT_FDCWD, from), Path(AT_FDCWD, to));
}
EXPORT int unlink(const char* name) noexcept { return Remove(AT_FDCWD, name, 0); }
EXPORT int rmdir(const char* name) noexcept { return Remove(AT_FDCWD, name, AT_REMOVEDIR); }
EXPORT int unlinkat(int folder, const char* name, int flags) noexcept {
  return Remove(folder, name, flags);
}
EXPORT int remove(const char* name) noexcept {
  const int result = unlink(name);
  return result != 0 && (errno == EISDIR || errno == EPERM) ? rmdir(name) : result;
}

EXPORT void* mmap(void* address, size_t size, int protection, int flags, int fd,
                  off_t offset) noexcept {
  if (fd >= 0 && (protection & PROT_WRITE) != 0 && (flags & MAP_TYPE) != MAP_PRIVATE) {
    const KeepErrno keep;
    const Path path(fd);
    if (path.recorded() && !path.view().ends_with("-shm")) std::abort();
  }
  return reinterpret_cast<void*>(::syscall(SYS_mmap, address, size, protection, flags, fd, offset));
}
EXPORT void* mmap64(void* address, size_t size, int protection, int flags, int fd,
                    off64_t offset) noexcept {
  return mmap(address, size, protection, flags, fd, offset);
}

}  // extern "C"
