#ifndef SLIPWAY_TESTS_SUPPORT_FAKE_BLOB_SOURCE_H_
#define SLIPWAY_TESTS_SUPPORT_FAKE_BLOB_SOURCE_H_

#include <map>
#include <string>
#include <string_view>

#include "common/blob/blob_source.h"
#include "common/crypto/hash.h"
#include "common/sync/mutex.h"

namespace slipway {

/// Blobs in memory.
class FakeBlobSource final : public BlobSource {
 public:
  /// Its digest.
  std::string Add(const std::string& bytes) {
    const std::string digest = "sha256:" + Sha256Hex(bytes);
    MutexLock lock(mutex_);
    blobs_[digest] = bytes;
    return digest;
  }
  /// From now on the blob arrives so.
  void Spoil(const std::string& digest, const std::string& bytes) {
    MutexLock lock(mutex_);
    blobs_[digest] = bytes;
  }
  int downloads() const {
    MutexLock lock(mutex_);
    return downloads_;
  }
  std::string last_token() const {
    MutexLock lock(mutex_);
    return last_token_;
  }

  absl::Status Download(const BlobName& name, const std::string& token,
                        absl::FunctionRef<absl::Status(std::string_view)> sink) override {
    std::string bytes;
    {
      MutexLock lock(mutex_);
      ++downloads_;
      last_token_ = token;
      const auto blob = blobs_.find(name.digest.ToString());
      if (blob == blobs_.end()) return NotFound(name.ToString());
      bytes = blob->second;
    }
    // In two pieces, as a stream has them.
    const size_t half = bytes.size() / 2;
    RETURN_IF_ERROR(sink(std::string_view(bytes).substr(0, half)));
    return sink(std::string_view(bytes).substr(half));
  }

 private:
  mutable Mutex mutex_;
  std::map<std::string, std::string> blobs_ GUARDED_BY(mutex_);
  int downloads_ GUARDED_BY(mutex_) = 0;
  std::string last_token_ GUARDED_BY(mutex_);
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_FAKE_BLOB_SOURCE_H_
