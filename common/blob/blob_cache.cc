#include "common/blob/blob_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "common/log/log.h"
#include "fmt/format.h"

namespace slipway {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPieceBytes = size_t{1} << 20;
// A temporary file of this age was left by a process that was killed.
constexpr std::chrono::hours kAbandonedAfter{24};
// Whoever fetched a file has opened it by then.
constexpr std::chrono::hours kInUseFor{1};

// Held while one of this machine's processes downloads a blob whose digest starts alike; the
// kernel lets go when its holder dies.
class DownloadLock {
 public:
  static absl::StatusOr<DownloadLock> Take(const std::string& path) {
    const int fd = ::open(path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) return FromErrno(errno, "cannot open", path);
    DownloadLock lock(fd);
    while (::flock(fd, LOCK_EX) != 0) {
      if (errno != EINTR) return FromErrno(errno, "cannot lock", path);
    }
    return lock;
  }
  DownloadLock(DownloadLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  DownloadLock& operator=(DownloadLock&&) = delete;
  ~DownloadLock() {
    if (fd_ >= 0) ::close(fd_);
  }

 private:
  explicit DownloadLock(int fd) : fd_(fd) {}
  int fd_;
};

bool IsTemporary(const fs::path& path) {
  const std::string name = path.filename().string();
  return name.starts_with(".") && name != ".lock";
}

void RemoveAbandoned(const std::string& folder) {
  std::error_code ignored;
  const auto now = fs::file_time_type::clock::now();
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder, ignored)) {
    if (!IsTemporary(entry.path()) || !entry.is_regular_file(ignored)) continue;
    if (now - entry.last_write_time(ignored) > kAbandonedAfter) fs::remove(entry.path(), ignored);
  }
}

}  // namespace

absl::StatusOr<BlobCache> BlobCache::Open(Options options, BlobSource& source) {
  std::error_code error;
  fs::create_directories(options.folder, error);
  if (error) return FromErrno(error.value(), "cannot make", options.folder);
  RemoveAbandoned(options.folder);
  return BlobCache(std::move(options), source);
}

std::string BlobCache::PathOf(const Digest& digest) const {
  return fmt::format("{}/{}/{}", options_.folder, digest.hex().substr(0, 2), digest.hex());
}

absl::StatusOr<std::string> BlobCache::Fetch(const BlobName& name, int64_t size_bytes,
                                             const std::string& token,
                                             const std::function<bool()>& cancelled) {
  const std::string path = PathOf(name.digest);
  const std::string folder = path.substr(0, path.rfind('/'));
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return FromErrno(error.value(), "cannot make", folder);
  ASSIGN_OR_RETURN(const DownloadLock lock, DownloadLock::Take(folder + "/.lock"));
  if (!Check(path, name.digest, size_bytes)) {
    RETURN_IF_ERROR(Download(name, size_bytes, token, path, cancelled));
    Trim();
  }
  return path;
}

bool BlobCache::Check(const std::string& path, const Digest& digest, int64_t size_bytes) const {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return false;
  bool same = static_cast<int64_t>(size) == size_bytes;
  if (same) {
    Sha256 hash;
    std::ifstream file(path, std::ios::binary);
    std::vector<char> piece(kPieceBytes);
    while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())) ||
           file.gcount() > 0) {
      hash.Update({piece.data(), static_cast<size_t>(file.gcount())});
    }
    same = file.eof() && hash.FinishHex() == digest.hex();
  }
  if (same) {
    // Now, so that Trim() knows what is used.
    ::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
    return true;
  }
  Log(Severity::kWarning, "cached_blob_found_spoilt", {{"blob", digest.ToString()}});
  fs::remove(path, error);
  return false;
}

absl::Status BlobCache::Download(const BlobName& name, int64_t size_bytes, const std::string& token,
                                 const std::string& path, const std::function<bool()>& cancelled) {
  ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, 0600));
  Sha256 hash;
  int64_t received = 0;
  RETURN_IF_ERROR(source_->Download(name, token, [&](std::string_view piece) -> absl::Status {
    if (cancelled()) return absl::CancelledError("the download was given up");
    received += static_cast<int64_t>(piece.size());
    if (received > size_bytes) {
      return absl::DataLossError(
          fmt::format("{} is longer than its {} bytes", name.ToString(), size_bytes));
    }
    hash.Update(piece);
    return file.Append(piece);
  }));
  if (received != size_bytes) {
    return absl::DataLossError(
        fmt::format("{} has {} bytes, must have {}", name.ToString(), received, size_bytes));
  }
  if (const std::string hex = hash.FinishHex(); hex != name.digest.hex()) {
    return absl::DataLossError(
        fmt::format("{} arrived with digest sha256:{}", name.ToString(), hex));
  }
  return file.Commit();
}

void BlobCache::Trim() const {
  struct Entry {
    fs::file_time_type used;
    fs::path path;
    int64_t bytes;
  };
  const auto newest_unused = fs::file_time_type::clock::now() - kInUseFor;
  std::vector<Entry> entries;
  int64_t total = 0;
  std::error_code error;
  for (const fs::directory_entry& file : fs::recursive_directory_iterator(options_.folder, error)) {
    if (!file.is_regular_file(error) || file.path().filename().string().starts_with(".")) continue;
    const auto bytes = static_cast<int64_t>(file.file_size(error));
    if (error) continue;
    total += bytes;
    entries.push_back({file.last_write_time(error), file.path(), bytes});
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.used < b.used; });
  for (const Entry& entry : entries) {
    if (total <= options_.max_bytes || entry.used > newest_unused) return;
    if (fs::remove(entry.path, error)) total -= entry.bytes;
  }
}

}  // namespace slipway
