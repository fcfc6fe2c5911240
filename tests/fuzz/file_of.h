#ifndef SLIPWAY_TESTS_FUZZ_FILE_OF_H_
#define SLIPWAY_TESTS_FUZZ_FILE_OF_H_

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <string>

#include "fmt/format.h"
#include "tests/fuzz/fuzz.h"

namespace slipway {

/// A file of these bytes, in memory, for readers that take a path.
class FileOf {
 public:
  FileOf(const uint8_t* data, size_t size) : fd_(::memfd_create("input", MFD_CLOEXEC)) {
    FuzzExpect(::write(fd_, data, size) == static_cast<ssize_t>(size), "there is memory");
  }
  ~FileOf() { ::close(fd_); }
  FileOf(const FileOf&) = delete;
  FileOf& operator=(const FileOf&) = delete;

  std::string path() const { return fmt::format("/proc/self/fd/{}", fd_); }

 private:
  const int fd_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_FUZZ_FILE_OF_H_
