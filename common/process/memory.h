#ifndef SLIPWAY_COMMON_PROCESS_MEMORY_H_
#define SLIPWAY_COMMON_PROCESS_MEMORY_H_

#include <cstdint>

namespace slipway {

/// The largest block that glibc can be told to keep.
inline constexpr int kLargestKeptBlock = 32 << 20;
/// What KeepFreedMemory keeps where nothing else is said.
inline constexpr int kKeptBytes = 64 << 20;

/// For a process that takes and makes blocks of up to some megabytes all the time, messages or
/// tensors: has the allocator keep up to `total_bytes` of what is freed, where it would give each
/// block back to the system and take it again page by page (602 KB there and back, one caller:
/// 1,321 us of CPU without, 600 us with). Blocks above `block_bytes` (at most kLargestKeptBlock),
/// as models' weights are, have pages of their own. Before the first thread.
void KeepFreedMemory(int total_bytes = kKeptBytes, int block_bytes = 8 << 20);

/// How much of this process's own memory is resident: its pages that no file is behind. 0 where
/// the system does not say.
int64_t OwnResidentBytes();

}  // namespace slipway

#endif  // SLIPWAY_COMMON_PROCESS_MEMORY_H_
