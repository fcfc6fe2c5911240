#include "common/blob/file_blob_store.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "fmt/format.h"

namespace slipway {
namespace {

// No tenant is called so: a slug starts with a letter.
constexpr std::string_view kTemporaryFolder = ".tmp";
constexpr std::string_view kLockFile = ".lock";

absl::Status NoBlob(const Digest& digest) {
  return absl::NotFoundError(fmt::format("blob {} was not found", digest.ToString()));
}

class Reader final : public BlobReader {
 public:
  Reader(FileSystem& files, int fd, int64_t size, int64_t offset, Digest digest)
      : files_(files),
        fd_(fd),
        size_(size),
        position_(offset),
        verifies_(offset == 0),
        digest_(std::move(digest)) {}
  ~Reader() override { files_.Close(fd_); }

  int64_t size_bytes() const override { return size_; }

  absl::StatusOr<std::string> Read(size_t max_bytes) override {
    const auto want =
        static_cast<size_t>(std::min<int64_t>(size_ - position_, static_cast<int64_t>(max_bytes)));
    std::string bytes(want, '\0');
    size_t filled = 0;
    while (filled < want) {
      const ssize_t got = files_.Read(fd_, bytes.data() + filled, want - filled,
                                      position_ + static_cast<int64_t>(filled));
      if (got == -EINTR) continue;
      if (got < 0) return FromErrno(static_cast<int>(-got), "cannot read blob", digest_.ToString());
      if (got == 0) {
        return absl::DataLossError(fmt::format("blob {} has {} bytes instead of {}",
                                               digest_.ToString(), position_ + filled, size_));
      }
      filled += static_cast<size_t>(got);
    }
    position_ += static_cast<int64_t>(filled);
    if (verifies_) {
      hash_.Update(bytes);
      if (position_ == size_) {
        verifies_ = false;
        if (hash_.FinishHex() != digest_.hex()) {
          return absl::DataLossError(
              fmt::format("blob {} holds other bytes than its digest says", digest_.ToString()));
        }
      }
    }
    return bytes;
  }

 private:
  FileSystem& files_;
  const int fd_;
  const int64_t size_;
  int64_t position_;
  bool verifies_;
  const Digest digest_;
  Sha256 hash_;
};

}  // namespace

class FileBlobStore::Writer final : public BlobWriter {
 public:
  Writer(FileBlobStore& store, std::string tenant, std::string temporary, int fd)
      : store_(store), tenant_(std::move(tenant)), temporary_(std::move(temporary)), fd_(fd) {}

  ~Writer() override {
    Close();
    if (!published_) store_.files_.Unlink(temporary_);
  }

  int64_t size_bytes() const override { return size_; }

  absl::Status Append(std::string_view bytes) override {
    RETURN_IF_ERROR(error_);
    hash_.Update(bytes);
    while (!bytes.empty()) {
      const ssize_t written = store_.files_.Write(fd_, bytes.data(), bytes.size());
      if (written == -EINTR) continue;
      if (written <= 0) {
        error_ = FromErrno(written == 0 ? EIO : static_cast<int>(-written), "cannot write to",
                           store_.root_);
        return error_;
      }
      bytes.remove_prefix(static_cast<size_t>(written));
      size_ += written;
    }
    return absl::OkStatus();
  }

  absl::StatusOr<BlobInfo> Commit(const std::optional<Digest>& expected) override {
    RETURN_IF_ERROR(error_);
    error_ = absl::FailedPreconditionError("the blob writer is spent");
    const Digest digest = Digest::FromHex(hash_.FinishHex());
    if (expected.has_value() && *expected != digest) {
      return InvalidField("digest", fmt::format("is {}, but the bytes that came have {}",
                                                expected->ToString(), digest.ToString()));
    }
    if (const int synced = store_.files_.Fsync(fd_); synced < 0) {
      return FromErrno(-synced, "cannot sync a blob of", store_.root_);
    }
    Close();
    RETURN_IF_ERROR(store_.Publish(temporary_, tenant_, digest));
    published_ = true;
    return BlobInfo{digest, size_};
  }

 private:
  void Close() {
    if (fd_ >= 0) store_.files_.Close(std::exchange(fd_, -1));
  }

  FileBlobStore& store_;
  const std::string tenant_;
  const std::string temporary_;
  int fd_;
  int64_t size_ = 0;
  bool published_ = false;
  absl::Status error_;
  Sha256 hash_;
};

absl::StatusOr<std::unique_ptr<FileBlobStore>> FileBlobStore::Open(std::string root,
                                                                   FileSystem& files) {
  while (root.size() > 1 && root.back() == '/') root.pop_back();
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(root).parent_path(), error);
  if (error) return FromErrno(error.value(), "cannot create", root);
  if (const int made = files.MakeDirectory(root, 0700); made < 0 && made != -EEXIST) {
    return FromErrno(-made, "cannot create", root);
  }
  ASSIGN_OR_RETURN(FileLock lock, FileLock::Take(fmt::format("{}/{}", root, kLockFile), root));
  std::unique_ptr<FileBlobStore> store(new FileBlobStore(std::move(root), std::move(lock), files));
  RETURN_IF_ERROR(store->EnsureFolder(store->root_,
                                      std::filesystem::path(store->root_).parent_path().string()));
  RETURN_IF_ERROR(
      store->EnsureFolder(fmt::format("{}/{}", store->root_, kTemporaryFolder), store->root_));
  RETURN_IF_ERROR(store->Sweep());
  return store;
}

absl::Status FileBlobStore::Sweep() {
  const std::string folder = fmt::format("{}/{}", root_, kTemporaryFolder);
  std::error_code error;
  for (std::filesystem::directory_iterator it(folder, error), end; !error && it != end;
       it.increment(error)) {
    files_.Unlink(it->path().string());
  }
  if (error) return FromErrno(error.value(), "cannot list", folder);
  return absl::OkStatus();
}

std::string FileBlobStore::PathOf(std::string_view tenant, const Digest& digest) const {
  return fmt::format("{}/{}/{}/{}", root_, tenant, digest.hex().substr(0, 2), digest.hex());
}

absl::StatusOr<std::unique_ptr<BlobWriter>> FileBlobStore::NewWriter(std::string_view tenant) {
  std::string temporary = fmt::format("{}/{}/{}", root_, kTemporaryFolder, next_temporary_++);
  const int fd = files_.Open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (fd < 0) return FromErrno(-fd, "cannot create a file in", root_);
  return std::make_unique<Writer>(*this, std::string(tenant), std::move(temporary), fd);
}

absl::Status FileBlobStore::Publish(const std::string& temporary, std::string_view tenant,
                                    const Digest& digest) {
  const std::string tenant_folder = fmt::format("{}/{}", root_, tenant);
  const std::string folder = fmt::format("{}/{}", tenant_folder, digest.hex().substr(0, 2));
  RETURN_IF_ERROR(EnsureFolder(tenant_folder, root_));
  RETURN_IF_ERROR(EnsureFolder(folder, tenant_folder));
  // Over the same blob too, where it is there: it heals a damaged file, and readers keep the old.
  if (const int renamed = files_.Rename(temporary, PathOf(tenant, digest)); renamed < 0) {
    return FromErrno(-renamed, "cannot store a blob in", root_);
  }
  return SyncFolder(folder);
}

absl::Status FileBlobStore::EnsureFolder(const std::string& folder, const std::string& parent) {
  {
    MutexLock lock(mutex_);
    if (synced_folders_.contains(folder)) return absl::OkStatus();
  }
  if (const int made = files_.MakeDirectory(folder, 0700); made < 0 && made != -EEXIST) {
    return FromErrno(-made, "cannot create a folder in", root_);
  }
  // Also where it was there: whoever made it may not have synced it, or been killed before.
  RETURN_IF_ERROR(SyncFolder(parent.empty() ? "." : parent));
  MutexLock lock(mutex_);
  synced_folders_.insert(folder);
  return absl::OkStatus();
}

absl::Status FileBlobStore::SyncFolder(const std::string& folder) {
  const int fd = files_.Open(folder, O_RDONLY | O_DIRECTORY, 0);
  if (fd < 0) return FromErrno(-fd, "cannot open", folder);
  const int synced = files_.Fsync(fd);
  files_.Close(fd);
  if (synced < 0) return FromErrno(-synced, "cannot sync a folder of", root_);
  return absl::OkStatus();
}

absl::StatusOr<BlobInfo> FileBlobStore::Stat(std::string_view tenant, const Digest& digest) {
  ASSIGN_OR_RETURN(const std::unique_ptr<BlobReader> reader, OpenReader(tenant, digest, 0));
  return BlobInfo{digest, reader->size_bytes()};
}

absl::StatusOr<std::unique_ptr<BlobReader>> FileBlobStore::OpenReader(std::string_view tenant,
                                                                      const Digest& digest,
                                                                      int64_t offset_bytes) {
  const int fd = files_.Open(PathOf(tenant, digest), O_RDONLY, 0);
  if (fd == -ENOENT) return NoBlob(digest);
  if (fd < 0) return FromErrno(-fd, "cannot open blob", digest.ToString());
  const int64_t size = files_.Size(fd);
  if (size < 0 || offset_bytes < 0 || offset_bytes > size) {
    files_.Close(fd);
    if (size < 0)
      return FromErrno(static_cast<int>(-size), "cannot look at blob", digest.ToString());
    return InvalidField("offset_bytes",
                        fmt::format("must be 0 to the blob's size {}, got {}", size, offset_bytes));
  }
  return std::make_unique<Reader>(files_, fd, size, offset_bytes, digest);
}

absl::Status FileBlobStore::Delete(std::string_view tenant, const Digest& digest) {
  const std::string path = PathOf(tenant, digest);
  if (const int gone = files_.Unlink(path); gone < 0) {
    if (gone == -ENOENT) return absl::OkStatus();
    return FromErrno(-gone, "cannot delete blob", digest.ToString());
  }
  return SyncFolder(path.substr(0, path.rfind('/')));
}

absl::Status FileBlobStore::DeleteTenant(std::string_view tenant) {
  const std::string folder = fmt::format("{}/{}", root_, tenant);
  {
    MutexLock lock(mutex_);
    std::erase_if(synced_folders_, [&](const std::string& known) {
      return known == folder || known.starts_with(folder + "/");
    });
  }
  std::error_code error;
  const auto removed = std::filesystem::remove_all(folder, error);
  if (error) return FromErrno(error.value(), "cannot delete", folder);
  return removed == 0 ? absl::OkStatus() : SyncFolder(root_);
}

}  // namespace slipway
