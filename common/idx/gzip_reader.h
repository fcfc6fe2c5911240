#ifndef SLIPWAY_COMMON_IDX_GZIP_READER_H_
#define SLIPWAY_COMMON_IDX_GZIP_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "common/status/status.h"

struct gzFile_s;

namespace slipway {

/// Reads a file that may be compressed by gzip, which shows in its first bytes. Its messages
/// begin with `name`, what a person calls the file. One thread.
class GzipReader {
 public:
  static absl::StatusOr<GzipReader> Open(const std::string& path, std::string_view name);

  /// Fills `out`; returns how many bytes there were, less than `size` only at the end. Errors:
  /// kInvalidArgument (cut short or damaged in its gzip form), what the system says.
  absl::StatusOr<size_t> Read(char* out, size_t size);

  /// OK at the end of the file; kInvalidArgument where more follows or gzip's checksum is wrong.
  absl::Status ExpectEnd();

  /// More than what the file can hold once unpacked (deflate packs at most 1032 to 1): what a
  /// header promises beyond is a lie, found before memory is taken for it.
  uint64_t largest_content() const { return largest_content_; }

  /// The rest of the file. Errors: as Read, and TooLarge.
  absl::StatusOr<std::string> ReadAll(uint64_t limit_bytes);

 private:
  struct Close {
    void operator()(gzFile_s* file) const;
  };
  GzipReader(std::string name, gzFile_s* file, uint64_t largest_content);

  std::string name_;
  std::unique_ptr<gzFile_s, Close> file_;
  uint64_t largest_content_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_IDX_GZIP_READER_H_
