#ifndef SLIPWAY_COMMON_BLOB_BLOB_CACHE_H_
#define SLIPWAY_COMMON_BLOB_BLOB_CACHE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "common/blob/blob_source.h"
#include "common/names/names.h"
#include "common/status/status.h"

namespace slipway {

/// Blobs on this machine's disk, by digest: <folder>/<first 2 hex>/<hex>. Processes of one machine
/// share a folder, and a blob is downloaded once for all of them. A file appears whole and
/// checked, or not at all. Any thread, any number of processes.
class BlobCache {
 public:
  struct Options {
    std::string folder;
    /// What is longest unused goes when the cache grows past this, but nothing that was fetched
    /// within the last hour: who fetched it may be about to open it. A file that is open or mapped
    /// stays readable for whoever has it so.
    int64_t max_bytes = int64_t{20} << 30;
  };

  /// Makes the folder. `source` outlives the cache.
  static absl::StatusOr<BlobCache> Open(Options options, BlobSource& source);

  /// The local path of the blob, downloaded where it is not here yet. Its digest has been checked
  /// in either case: what the disk has spoilt is fetched again.
  /// `cancelled` is asked between pieces; kCancelled when it says so.
  /// Errors: kDataLoss (the source's bytes have another digest or length), StorageFull, those of
  /// BlobSource::Download.
  absl::StatusOr<std::string> Fetch(const BlobName& name, int64_t size_bytes,
                                    const std::string& token,
                                    const std::function<bool()>& cancelled);

 private:
  BlobCache(Options options, BlobSource& source) : options_(std::move(options)), source_(&source) {}

  std::string PathOf(const Digest& digest) const;
  /// True when the file is there and is what it should be; spoilt ones are removed.
  bool Check(const std::string& path, const Digest& digest, int64_t size_bytes) const;
  absl::Status Download(const BlobName& name, int64_t size_bytes, const std::string& token,
                        const std::string& path, const std::function<bool()>& cancelled);
  /// Removes the longest unused files while there is too much.
  void Trim() const;

  Options options_;
  BlobSource* source_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_BLOB_BLOB_CACHE_H_
