#include "common/process/memory.h"

#include <malloc.h>

namespace slipway {

void KeepFreedMemory(int total_bytes, int block_bytes) {
  mallopt(M_TRIM_THRESHOLD, total_bytes);
  mallopt(M_MMAP_THRESHOLD, block_bytes);
}

}  // namespace slipway
