#ifndef SLIPWAY_SERVICES_TRAINING_OBJECTS_OBJECT_STORE_H_
#define SLIPWAY_SERVICES_TRAINING_OBJECTS_OBJECT_STORE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/status/status.h"

namespace slipway::training {

struct StoredObject {
  std::string key;
  int64_t size_bytes = 0;
};

/// Objects by their keys, which somebody else keeps: a bucket of S3. Any thread; calls block.
/// Errors of all: kFailedPrecondition (the store refuses its keys, or is not there), kUnavailable.
/// Their messages are for tenants: they name no server, no bucket and no key of access.
class ObjectStore {
 public:
  using Sink = absl::FunctionRef<absl::Status(std::string_view piece)>;

  virtual ~ObjectStore() = default;

  /// The object `key`; where there is none, those below it ("key/..."), by their keys; where there
  /// are none either, nothing. Errors: kResourceExhausted (more than `most`).
  virtual absl::StatusOr<std::vector<StoredObject>> List(const std::string& key, size_t most) = 0;

  /// Hands an object's bytes from `offset` on to `sink`, in order; what `sink` refuses ends it, and
  /// is returned. Errors: kNotFound, kAborted (it was changed meanwhile: the bytes are of no use).
  virtual absl::Status Read(const std::string& key, int64_t offset, Sink sink) = 0;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_OBJECTS_OBJECT_STORE_H_
