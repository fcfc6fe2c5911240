#ifndef SLIPWAY_SERVICES_REGISTRY_BLOB_CATALOG_H_
#define SLIPWAY_SERVICES_REGISTRY_BLOB_CATALOG_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/blob/blob_store.h"
#include "common/identity/principal.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "services/registry/registry_store.h"
#include "slipway/identity/v1/purge.pb.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::registry {

struct BlobCatalogOptions {
  /// The largest blob that is taken.
  int64_t max_blob_bytes = int64_t{100} << 30;
  /// How long a blob stays that is no file of a version or dataset, since it was uploaded (again)
  /// or its last dataset was deleted. Long enough to upload all files of an artifact and then make
  /// the version.
  absl::Duration unused_ttl = absl::Hours(24 * 7);
  /// How long a request id is remembered.
  absl::Duration request_ttl = absl::Hours(24 * 30);
};

/// Which blobs a tenant has, and who may read them. The store's row says that a blob is there; it
/// is written after the bytes are durable, and goes before they do, so a row never dangles. (Bytes
/// without a row, left by a crash between the two, are found again when they are uploaded again.)
/// Any thread may call.
///
/// A trainer or worker reads only the files of what its token's scopes name: a version, a dataset,
/// any version of a model, or the blob itself. A blob outside them is answered like an absent one.
class BlobCatalog {
 public:
  /// All outlive the catalog; one catalog a blob store.
  BlobCatalog(RegistryStore& store, BlobStore& blobs, const Clock& clock,
              const BlobCatalogOptions& options)
      : store_(store), blobs_(blobs), clock_(clock), options_(options) {}

  /// Takes the bytes of one blob. One thread at a time; outlived by the catalog. Dropping it
  /// without Finish leaves nothing.
  class Upload {
   public:
    /// Errors: TooLarge, StorageFull.
    absl::Status Append(std::string_view bytes);
    /// The blob, once it is durable. Call once. Errors: InvalidField("digest") where the bytes
    /// have another one than was expected, StorageFull, kUnavailable.
    absl::StatusOr<v1::Blob> Finish();

   private:
    friend class BlobCatalog;
    Upload(BlobCatalog& catalog, std::string tenant, std::optional<Digest> expected,
           std::unique_ptr<BlobWriter> writer);

    BlobCatalog& catalog_;
    const std::string tenant_;
    const std::optional<Digest> expected_;
    const std::unique_ptr<BlobWriter> writer_;
  };

  absl::StatusOr<std::unique_ptr<Upload>> NewUpload(const Principal& who, const TenantName& parent,
                                                    const std::optional<Digest>& expected);

  absl::StatusOr<v1::Blob> Get(const Principal& who, const BlobName& name);

  /// Reads from `offset_bytes` on; 0 checks the digest on the way.
  /// Errors: InvalidField("offset_bytes"), kDataLoss (the bytes are not what was stored).
  absl::StatusOr<std::unique_ptr<BlobReader>> Open(const Principal& who, const BlobName& name,
                                                   int64_t offset_bytes);

  struct Garbage {
    int64_t blobs = 0;
    int64_t bytes = 0;
  };
  /// Deletes the blobs that nothing has used for `unused_ttl`, what an upload that broke off has
  /// left of a closed tenant, and forgets old request ids.
  absl::StatusOr<Garbage> CollectGarbage();

  /// Closes a tenant for good, and removes all that it has where `remove` is said: rows and bytes.
  /// Repeating it is harmless. Errors: NotFound for all but operators.
  absl::StatusOr<identity::v1::PurgeTenantResponse> PurgeTenant(const Principal& who,
                                                                const TenantName& tenant,
                                                                bool remove);

 private:
  /// The size of a blob that `who` may read. Errors: NotFound.
  absl::StatusOr<int64_t> Find(const Principal& who, const BlobName& name);
  absl::Status Register(const StoredBlob& blob) EXCLUDES(mutex_);
  absl::Status SweepClosed(const std::string& tenant) REQUIRES(mutex_);

  RegistryStore& store_;
  BlobStore& blobs_;
  const Clock& clock_;
  const BlobCatalogOptions options_;
  // Held while a row and its bytes are brought together or taken apart, so that no row is written
  // for bytes that are being deleted.
  Mutex mutex_;
};

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_BLOB_CATALOG_H_
