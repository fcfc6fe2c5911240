#ifndef SLIPWAY_COMMON_BLOB_BLOB_STORE_H_
#define SLIPWAY_COMMON_BLOB_BLOB_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/names/names.h"
#include "common/status/status.h"

namespace slipway {

/// What is known of stored bytes.
struct BlobInfo {
  Digest digest;
  int64_t size_bytes = 0;
};

/// Takes the bytes of one blob. One thread at a time. Dropping it without Commit leaves nothing.
class BlobWriter {
 public:
  virtual ~BlobWriter() = default;

  /// Errors: StorageFull; after any error the writer is spent.
  virtual absl::Status Append(std::string_view bytes) = 0;

  /// Bytes taken so far.
  virtual int64_t size_bytes() const = 0;

  /// Makes the blob durable and visible; when this returns OK it survives a power cut. The same
  /// bytes may be there already. Call once.
  /// Errors: InvalidField("digest") when `expected` is given and differs (nothing is kept),
  /// StorageFull.
  virtual absl::StatusOr<BlobInfo> Commit(const std::optional<Digest>& expected) = 0;
};

/// Reads one blob. One thread at a time. The blob may be deleted meanwhile; reading goes on.
class BlobReader {
 public:
  virtual ~BlobReader() = default;

  /// Size of the whole blob.
  virtual int64_t size_bytes() const = 0;

  /// The next at most `max_bytes` bytes; "" at the end. A blob that is read from its start to its
  /// end is hashed on the way, and its last bytes are withheld where the digest differs.
  /// Errors: kDataLoss (shorter than it was, or other bytes than its digest says).
  virtual absl::StatusOr<std::string> Read(size_t max_bytes) = 0;
};

/// Immutable bytes, named by their SHA-256 within a tenant. Tenants share nothing, so that one
/// cannot learn from a digest what another holds. Any thread. `tenant` is a slug that was checked.
class BlobStore {
 public:
  virtual ~BlobStore() = default;

  virtual absl::StatusOr<std::unique_ptr<BlobWriter>> NewWriter(std::string_view tenant) = 0;

  /// Errors: kNotFound.
  virtual absl::StatusOr<BlobInfo> Stat(std::string_view tenant, const Digest& digest) = 0;

  /// Errors: kNotFound, InvalidField("offset_bytes") outside 0..size.
  virtual absl::StatusOr<std::unique_ptr<BlobReader>> OpenReader(std::string_view tenant,
                                                                 const Digest& digest,
                                                                 int64_t offset_bytes) = 0;

  /// OK too when it is not there.
  virtual absl::Status Delete(std::string_view tenant, const Digest& digest) = 0;

  /// All that the tenant has, whatever it is. No writer of it commits meanwhile, or it may fail.
  virtual absl::Status DeleteTenant(std::string_view tenant) = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_BLOB_BLOB_STORE_H_
