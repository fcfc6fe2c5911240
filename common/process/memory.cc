#include "common/process/memory.h"

#include <malloc.h>

namespace slipway {

void KeepFreedMemory() {
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  // Larger ones, as models' weights are, have pages of their own.
  mallopt(M_MMAP_THRESHOLD, 8 << 20);
}

}  // namespace slipway
