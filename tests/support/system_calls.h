#ifndef SLIPWAY_TESTS_SUPPORT_SYSTEM_CALLS_H_
#define SLIPWAY_TESTS_SUPPORT_SYSTEM_CALLS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace slipway {

/// Records what this process asks of its files and sockets, in the order in which it asks, while
/// it lives: what a power cut or a kill would leave depends on nothing else. A test program that
/// links this room has its own calls and those of its libraries recorded. One at a time; calls may
/// come from any thread.
class SystemCalls {
 public:
  struct Call {
    /// "write", "sync" (fsync and fdatasync), "rename", "remove", "send".
    std::string operation;
    /// Of the file; of a rename, where it went. "socket:[...]" for a socket.
    std::string path;
    /// What is written or sent.
    std::string bytes;
  };

  SystemCalls();
  ~SystemCalls();
  SystemCalls(const SystemCalls&) = delete;
  SystemCalls& operator=(const SystemCalls&) = delete;

  /// From now on the volume of these files is full: what would write to a path that contains `path`
  /// fails with ENOSPC. Empty: of none.
  void FillVolume(std::string path);

  /// Those so far.
  std::vector<Call> calls() const;

  /// How many there were of this kind to paths that contain `path`.
  int64_t Count(std::string_view operation, std::string_view path) const;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_SYSTEM_CALLS_H_
