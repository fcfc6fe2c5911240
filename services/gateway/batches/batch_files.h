#ifndef SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_FILES_H_
#define SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_FILES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "common/identity/principal.h"
#include "common/status/status.h"

namespace slipway::gateway {

/// Where batches read their input and leave their output: the registry's datasets of one file. Any
/// thread; calls block. Errors of each: kUnavailable, kDeadlineExceeded (try again), StorageFull.
class BatchFiles {
 public:
  virtual ~BatchFiles() = default;

  /// A file that is being read. One thread.
  class Source {
   public:
    virtual ~Source() = default;
    /// The next piece; "" at the end.
    virtual absl::StatusOr<std::string> Read() = 0;
  };

  /// Opens a dataset with the purpose "batch". Errors: kNotFound, kFailedPrecondition (another
  /// purpose, or more than `max_bytes`).
  virtual absl::StatusOr<std::unique_ptr<Source>> Open(const Principal& who,
                                                       const std::string& dataset,
                                                       int64_t offset_bytes, int64_t max_bytes) = 0;

  struct NewFile {
    std::string id;  ///< Of the dataset. With the same id and bytes again it is the same one.
    std::string filename;
  };
  /// Makes a dataset with the purpose "batch_output" of what `next` gives until it gives "". Its
  /// full name.
  virtual absl::StatusOr<std::string> Write(
      const Principal& who, const NewFile& file,
      absl::FunctionRef<absl::StatusOr<std::string>()> next) = 0;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_FILES_H_
