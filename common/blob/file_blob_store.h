#ifndef SLIPWAY_COMMON_BLOB_FILE_BLOB_STORE_H_
#define SLIPWAY_COMMON_BLOB_FILE_BLOB_STORE_H_

#include <atomic>
#include <memory>
#include <set>
#include <string>

#include "common/blob/blob_store.h"
#include "common/blob/file_system.h"
#include "common/files/file_lock.h"
#include "common/sync/mutex.h"

namespace slipway {

/// Blobs as files of one volume: `<root>/<tenant>/<first 2 hex>/<64 hex>`, written under
/// `<root>/.tmp/` first. A blob is acknowledged once its bytes, its name and every folder on the
/// way to it are synced. Dropping a writer or a crash leaves nothing but, after a crash, a
/// temporary file that the next Open removes.
class FileBlobStore final : public BlobStore {
 public:
  /// Makes `root` (0700) where it is absent. One process owns a root: a second Open while the
  /// first store lives is refused with kFailedPrecondition. `files` outlives the store.
  static absl::StatusOr<std::unique_ptr<FileBlobStore>> Open(
      std::string root, FileSystem& files = FileSystem::Real());

  absl::StatusOr<std::unique_ptr<BlobWriter>> NewWriter(std::string_view tenant) override;
  absl::StatusOr<BlobInfo> Stat(std::string_view tenant, const Digest& digest) override;
  absl::StatusOr<std::unique_ptr<BlobReader>> OpenReader(std::string_view tenant,
                                                         const Digest& digest,
                                                         int64_t offset_bytes) override;
  absl::Status Delete(std::string_view tenant, const Digest& digest) override;
  absl::Status DeleteTenant(std::string_view tenant) override;

  /// Where a blob's file is, or would be.
  std::string PathOf(std::string_view tenant, const Digest& digest) const;

 private:
  class Writer;

  FileBlobStore(std::string root, FileLock lock, FileSystem& files)
      : root_(std::move(root)), lock_(std::move(lock)), files_(files) {}

  /// Removes what a crash left.
  absl::Status Sweep();
  /// Makes `folder` and sees to it that its own entry is synced; once a folder and process.
  absl::Status EnsureFolder(const std::string& folder, const std::string& parent) EXCLUDES(mutex_);
  absl::Status SyncFolder(const std::string& folder);
  /// Gives the finished temporary file its name for good.
  absl::Status Publish(const std::string& temporary, std::string_view tenant, const Digest& digest);

  const std::string root_;
  const FileLock lock_;
  FileSystem& files_;
  std::atomic<uint64_t> next_temporary_{0};
  Mutex mutex_;
  std::set<std::string> synced_folders_ GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_BLOB_FILE_BLOB_STORE_H_
