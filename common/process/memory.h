#ifndef SLIPWAY_COMMON_PROCESS_MEMORY_H_
#define SLIPWAY_COMMON_PROCESS_MEMORY_H_

namespace slipway {

/// For a process that takes and makes messages of up to some megabytes all the time: has the
/// allocator keep up to 64 MB of what is freed, where it would give the memory of each message back
/// to the system and take it again page by page (602 KB there and back, one caller: 1,321 us of CPU
/// without, 600 us with). Before the first thread.
void KeepFreedMemory();

}  // namespace slipway

#endif  // SLIPWAY_COMMON_PROCESS_MEMORY_H_
