#include "services/training/trainer/data/spill_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <utility>

namespace slipway::trainer {
namespace {

constexpr size_t kPiece = size_t{1} << 18;

}  // namespace

absl::StatusOr<SpillFile> SpillFile::Create(std::string folder) {
  if (folder.empty()) folder = std::filesystem::temp_directory_path().string();
  std::string path = folder + "/.spill.XXXXXX";
  const int fd = ::mkostemp(path.data(), O_CLOEXEC);
  if (fd < 0) return FromErrno(errno, "cannot create a file in", folder);
  ::unlink(path.c_str());
  return SpillFile(std::move(folder), fd);
}

SpillFile::SpillFile(SpillFile&& other) noexcept
    : folder_(std::move(other.folder_)),
      fd_(std::exchange(other.fd_, -1)),
      waiting_(std::move(other.waiting_)),
      size_(other.size_) {}

SpillFile& SpillFile::operator=(SpillFile&& other) noexcept {
  std::swap(folder_, other.folder_);
  std::swap(fd_, other.fd_);
  std::swap(waiting_, other.waiting_);
  std::swap(size_, other.size_);
  return *this;
}

SpillFile::~SpillFile() {
  if (fd_ >= 0) ::close(fd_);
}

absl::Status SpillFile::Append(std::string_view bytes) {
  waiting_.append(bytes);
  size_ += bytes.size();
  return waiting_.size() < kPiece ? absl::OkStatus() : Flush();
}

absl::Status SpillFile::Flush() {
  std::string_view left = waiting_;
  while (!left.empty()) {
    const ssize_t written = ::write(fd_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return FromErrno(errno, "cannot set data aside in", folder_);
    left.remove_prefix(static_cast<size_t>(written));
  }
  waiting_.clear();
  return absl::OkStatus();
}

absl::StatusOr<Buffer> SpillFile::Map(Access access) && {
  RETURN_IF_ERROR(Flush());
  if (size_ == 0) return Buffer();
  void* const start = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, fd_, 0);
  if (start == MAP_FAILED) return FromErrno(errno, "cannot map what was set aside in", folder_);
  // Single rows are asked for: what lies beside them is not worth reading.
  if (access == Access::kAnywhere) ::madvise(start, size_, MADV_RANDOM);
  const std::shared_ptr<const void> owner(
      start, [size = size_](const void* bytes) { ::munmap(const_cast<void*>(bytes), size); });
  return Buffer::Share({static_cast<const char*>(start), size_}, owner);
}

}  // namespace slipway::trainer
