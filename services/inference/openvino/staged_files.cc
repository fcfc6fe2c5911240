#include "services/inference/openvino/staged_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

namespace fs = std::filesystem;

// The folder, locked; -1 where it is gone or another process has locked it.
int LockFolder(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

absl::Status Link(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::create_directories(fs::path(to).parent_path(), error);
  if (!error) fs::create_hard_link(from, to, error);
  if (error == std::errc::cross_device_link) {
    error.clear();
    fs::copy_file(from, to, error);
  }
  return error ? FromErrno(error.value(), "could not make", to) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<StagedFiles> StagedFiles::Create(const std::string& parent,
                                                const ModelFiles& files) {
  std::error_code error;
  fs::create_directories(parent, error);
  if (error) return FromErrno(error.value(), "could not make", parent);
  std::string folder = parent + "/load.XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return FromErrno(errno, "could not make", folder);
  const int lock = LockFolder(folder);
  StagedFiles staged(std::move(folder), lock);
  if (lock < 0) return FromErrno(errno, "could not lock", staged.folder_);
  for (const auto& [name, path] : files) RETURN_IF_ERROR(Link(path, staged.PathOf(name)));
  return staged;
}

void StagedFiles::RemoveLeftovers(const std::string& parent) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(parent, ignored)) {
    const int lock = LockFolder(entry.path());
    if (lock < 0) continue;
    fs::remove_all(entry.path(), ignored);
    ::close(lock);
  }
}

StagedFiles::StagedFiles(StagedFiles&& other) noexcept
    : folder_(std::exchange(other.folder_, "")), lock_(std::exchange(other.lock_, -1)) {}

StagedFiles::~StagedFiles() {
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

std::string StagedFiles::PathOf(std::string_view file) const {
  return fmt::format("{}/{}", folder_, file);
}

}  // namespace slipway::worker
