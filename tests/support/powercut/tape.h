#ifndef SLIPWAY_TESTS_SUPPORT_POWERCUT_TAPE_H_
#define SLIPWAY_TESTS_SUPPORT_POWERCUT_TAPE_H_

#include <cstdint>

// What layer.cc writes and disk.cc reads: one Frame for each thing done to a file below the root,
// in the order in which it was done, followed by `path_bytes`, `second_bytes` and `data_bytes`.
namespace slipway::powercut {

// Paths are absolute. A file is known by its inode; kCreate says when a number starts to mean
// another file.
enum class Operation : uint32_t {
  kCreate,         // path, inode
  kMakeDirectory,  // path, inode
  kWrite,          // path, inode, offset, data
  kTruncate,       // path, inode, offset: the new size
  kSyncBegin,      // path, inode, offset: 1 for fdatasync
  kSyncEnd,        // path, inode; of the newest kSyncBegin of the same thread
  kRename,         // path -> second
  kLink,           // path -> second
  kRemove,         // path
};

struct Frame {
  Operation operation;
  uint32_t path_bytes;
  uint32_t second_bytes;
  uint32_t data_bytes;
  uint64_t inode;
  int64_t offset;
  int64_t thread;
};

// Environment variables of the layer: the folder whose files are recorded, and the tape's file.
inline constexpr char kRootVariable[] = "SLIPWAY_POWERCUT_ROOT";
inline constexpr char kTapeVariable[] = "SLIPWAY_POWERCUT_TAPE";

}  // namespace slipway::powercut

#endif  // SLIPWAY_TESTS_SUPPORT_POWERCUT_TAPE_H_
