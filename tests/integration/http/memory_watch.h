#ifndef SLIPWAY_TESTS_INTEGRATION_HTTP_MEMORY_WATCH_H_
#define SLIPWAY_TESTS_INTEGRATION_HTTP_MEMORY_WATCH_H_

#include <algorithm>
#include <cstdint>
#include <fstream>

namespace slipway::http {

inline uint64_t ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * 4096;
}

/// The peak of the process's memory beside a transfer.
class MemoryWatch {
 public:
  MemoryWatch() : before_(ResidentBytes()) {}
  void Look() { peak_ = std::max(peak_, ResidentBytes()); }
  uint64_t growth() const { return peak_ > before_ ? peak_ - before_ : 0; }

 private:
  const uint64_t before_;
  uint64_t peak_ = 0;
};

}  // namespace slipway::http

#endif  // SLIPWAY_TESTS_INTEGRATION_HTTP_MEMORY_WATCH_H_
