#include "common/process/memory.h"

#include <malloc.h>
#include <unistd.h>

#include <fstream>

namespace slipway {

void KeepFreedMemory(int total_bytes, int block_bytes) {
  mallopt(M_TRIM_THRESHOLD, total_bytes);
  mallopt(M_MMAP_THRESHOLD, block_bytes);
}

int64_t OwnResidentBytes() {
  // In pages: all there is, what is resident, and what of that files are behind (proc(5)).
  int64_t size = 0;
  int64_t resident = 0;
  int64_t shared = 0;
  std::ifstream("/proc/self/statm") >> size >> resident >> shared;
  return (resident - shared) * ::sysconf(_SC_PAGESIZE);
}

}  // namespace slipway
