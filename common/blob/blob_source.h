#ifndef SLIPWAY_COMMON_BLOB_BLOB_SOURCE_H_
#define SLIPWAY_COMMON_BLOB_BLOB_SOURCE_H_

#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "common/names/names.h"
#include "common/status/status.h"

namespace slipway {

/// Where blobs come from: the registry. Any thread.
class BlobSource {
 public:
  virtual ~BlobSource() = default;

  /// Streams the blob's bytes to `sink`, whose error ends the download and is returned. `token`
  /// is what the load was given. The bytes are not checked: that is the receiver's business.
  /// Errors: kNotFound, kUnauthenticated, kPermissionDenied, kUnavailable, kDeadlineExceeded.
  virtual absl::Status Download(const BlobName& name, const std::string& token,
                                absl::FunctionRef<absl::Status(std::string_view)> sink) = 0;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_BLOB_BLOB_SOURCE_H_
