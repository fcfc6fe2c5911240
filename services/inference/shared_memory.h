#ifndef SLIPWAY_SERVICES_INFERENCE_SHARED_MEMORY_H_
#define SLIPWAY_SERVICES_INFERENCE_SHARED_MEMORY_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "common/tensor/tensor.h"

namespace slipway::worker {

/// A part of a POSIX shared memory object that a tenant has named. A value.
struct MemoryRegion {
  std::string name;
  std::string key;  ///< as in shm_open; starts with "/<tenant>."
  uint64_t offset = 0;
  uint64_t size = 0;
};

/// A place in a region, as a tensor's parameters give it.
struct MemorySlice {
  std::string region;
  uint64_t offset = 0;
  uint64_t size = 0;
};

/// Regions of system shared memory that tensors are read from and written to, for callers on the
/// same machine. Names are per tenant, and so are keys: a tenant reaches only objects whose name
/// starts with its own. Any thread.
///
/// Bytes are copied by pread and pwrite, never mapped: an object that its owner cuts short is then
/// an error of one call, and not a SIGBUS that ends the worker.
class SharedMemory {
 public:
  static constexpr size_t kMaxRegionsPerTenant = 256;
  /// An object may be sparse and of any size; nobody makes the worker take more than this at once.
  static constexpr uint64_t kMaxSliceBytes = 64 << 20;

  /// Errors: InvalidField (name, key, offset, byte_size: none, of another tenant, beyond the
  /// object's end), kNotFound (no such object), kAlreadyExists (the name), kResourceExhausted (too
  /// many), kPermissionDenied (the object is not this user's to open).
  absl::Status Register(const std::string& tenant, MemoryRegion region);

  /// Empty: all of the tenant's. OK where there is none.
  void Unregister(const std::string& tenant, const std::string& name);

  /// Empty: all of the tenant's. Errors: kNotFound (a name that is none).
  absl::StatusOr<std::vector<MemoryRegion>> List(const std::string& tenant,
                                                 const std::string& name) const;

  /// A copy of the bytes. Errors: InvalidField below `field`: no such region, a slice that is not
  /// inside it, an object that has become shorter.
  absl::StatusOr<Buffer> Read(const std::string& tenant, const MemorySlice& slice,
                              std::string_view field) const;

  /// Puts the bytes at the slice's beginning. Errors: as Read; more bytes than the slice holds.
  absl::Status Write(const std::string& tenant, const MemorySlice& slice, std::string_view bytes,
                     std::string_view field) const;

 private:
  struct Open;
  using Name = std::pair<std::string, std::string>;  // tenant, region

  absl::StatusOr<std::shared_ptr<const Open>> Find(const std::string& tenant,
                                                   const MemorySlice& slice,
                                                   std::string_view field) const;

  mutable Mutex mutex_;
  std::map<Name, std::shared_ptr<const Open>> regions_ GUARDED_BY(mutex_);
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_SHARED_MEMORY_H_
