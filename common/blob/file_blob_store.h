#ifndef SLIPWAY_COMMON_BLOB_FILE_BLOB_STORE_H_
#define SLIPWAY_COMMON_BLOB_FILE_BLOB_STORE_H_

#include <atomic>
#include <memory>
#include <string>

#include "common/blob/blob_store.h"
#include "common/blob/file_system.h"

namespace slipway {

/// Blobs as files of one volume: `<root>/<tenant>/<2 hex>/<62 or 64 hex>`, written to
/// `<root>/tmp/` first. One process owns a root (the registry); readers elsewhere go through it.
class FileBlobStore final : public BlobStore {
 public:
  /// Makes `root` (0700) where it is absent and removes what a crash left in its `tmp`.
  /// `files` outlives the store.
  static absl::StatusOr<std::unique_ptr<FileBlobStore>> Open(
      std::string root, FileSystem& files = FileSystem::Real());

  absl::StatusOr<std::unique_ptr<BlobWriter>> NewWriter(std::string_view tenant) override;
  absl::StatusOr<BlobInfo> Stat(std::string_view tenant, const Digest& digest) override;
  absl::StatusOr<std::unique_ptr<BlobReader>> OpenReader(std::string_view tenant,
                                                         const Digest& digest,
                                                         int64_t offset_bytes) override;
  absl::Status Delete(std::string_view tenant, const Digest& digest) override;

  /// Where a blob's file is, or would be.
  std::string PathOf(std::string_view tenant, const Digest& digest) const;

 private:
  FileBlobStore(std::string root, FileSystem& files) : root_(std::move(root)), files_(files) {}

  const std::string root_;
  FileSystem& files_;
  std::atomic<uint64_t> next_temp_{0};
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_BLOB_FILE_BLOB_STORE_H_
