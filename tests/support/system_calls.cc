#include "tests/support/system_calls.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "common/sync/mutex.h"

namespace slipway {
namespace {

// Never freed: other threads may call until the process ends.
struct Tape {
  std::atomic<bool> on = false;
  Mutex mutex;
  std::vector<SystemCalls::Call> calls GUARDED_BY(mutex);
  std::string full GUARDED_BY(mutex);  // see FillVolume
};
Tape& TheTape() {
  static auto* const tape = new Tape;
  return *tape;
}

std::string PathOf(int fd) {
  std::array<char, 4096> path;
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), path.data(), path.size());
  return size < 0 ? "" : std::string(path.data(), static_cast<size_t>(size));
}

void Note(const char* operation, std::string path, std::string bytes = "") {
  MutexLock lock(TheTape().mutex);
  TheTape().calls.push_back({operation, std::move(path), std::move(bytes)});
}

void NoteBytes(const char* operation, int fd, const void* bytes, size_t size) {
  if (!TheTape().on) return;
  Note(operation, PathOf(fd), std::string(static_cast<const char*>(bytes), size));
}

// Whether its volume is full; says so.
bool IsFull(int fd) {
  if (!TheTape().on) return false;
  MutexLock lock(TheTape().mutex);
  const std::string& full = TheTape().full;
  if (full.empty() || PathOf(fd).find(full) == std::string::npos) return false;
  errno = ENOSPC;
  return true;
}

void NoteSync(int fd) {
  if (TheTape().on) Note("sync", PathOf(fd));
}

void NotePath(const char* operation, const char* path) {
  if (TheTape().on) Note(operation, path);
}

}  // namespace

SystemCalls::SystemCalls() {
  MutexLock lock(TheTape().mutex);
  TheTape().calls.clear();
  TheTape().full.clear();
  if (TheTape().on.exchange(true)) std::abort();
}

SystemCalls::~SystemCalls() { TheTape().on = false; }

void SystemCalls::FillVolume(std::string path) {
  MutexLock lock(TheTape().mutex);
  TheTape().full = std::move(path);
}

std::vector<SystemCalls::Call> SystemCalls::calls() const {
  MutexLock lock(TheTape().mutex);
  return TheTape().calls;
}

int64_t SystemCalls::Count(std::string_view operation, std::string_view path) const {
  const std::vector<Call> all = calls();
  return std::count_if(all.begin(), all.end(), [&](const Call& call) {
    return call.operation == operation && call.path.find(path) != std::string::npos;
  });
}

// In libc's place: each notes the call and then makes it, unless the test has filled the volume.
extern "C" {

ssize_t write(int fd, const void* bytes, size_t size) {
  if (IsFull(fd)) return -1;
  NoteBytes("write", fd, bytes, size);
  return ::syscall(SYS_write, fd, bytes, size);
}

ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  if (IsFull(fd)) return -1;
  NoteBytes("write", fd, bytes, size);
  return ::syscall(SYS_pwrite64, fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  return pwrite(fd, bytes, size, offset);
}

int fsync(int fd) {
  NoteSync(fd);
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
  NoteSync(fd);
  return static_cast<int>(::syscall(SYS_fdatasync, fd));
}

int rename(const char* from, const char* to) noexcept {
  NotePath("rename", to);
  return static_cast<int>(::syscall(SYS_rename, from, to));
}

int unlink(const char* path) noexcept {
  NotePath("remove", path);
  return static_cast<int>(::syscall(SYS_unlink, path));
}

int remove(const char* path) noexcept {
  const int result = unlink(path);
  return result != 0 && errno == EISDIR ? ::rmdir(path) : result;
}

ssize_t send(int fd, const void* bytes, size_t size, int flags) {
  NoteBytes("send", fd, bytes, size);
  return ::syscall(SYS_sendto, fd, bytes, size, flags, nullptr, 0);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
  if (TheTape().on) {
    std::string bytes;
    for (size_t i = 0; i < message->msg_iovlen; ++i) {
      const iovec& piece = message->msg_iov[i];
      bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
    }
    Note("send", PathOf(fd), std::move(bytes));
  }
  return ::syscall(SYS_sendmsg, fd, message, flags);
}

}  // extern "C"
}  // namespace slipway
