#ifndef SLIPWAY_SERVICES_CLI_UP_DATA_DIRECTORY_H_
#define SLIPWAY_SERVICES_CLI_UP_DATA_DIRECTORY_H_

#include <string>
#include <string_view>

#include "common/status/status.h"

namespace slipway::cli {

/// All that an embedded platform keeps: one folder a service, `logs`, `run` (sockets and state),
/// `trust` (the services' public keys), `lock`, and VERSION. Mode 0700. One thread.
///
/// Sockets stand in `run`, unless a path would pass the 107 bytes that Unix sockets allow: then
/// in a fresh 0700 folder under the temporary directory, which the file `run-dir` records.
class DataDirectory {
 public:
  /// $XDG_DATA_HOME/slipway or ~/.local/share/slipway
  static std::string DefaultPath();

  /// Names the directory; touches nothing. An empty path means DefaultPath().
  explicit DataDirectory(std::string path);
  ~DataDirectory();
  DataDirectory(const DataDirectory&) = delete;
  DataDirectory& operator=(const DataDirectory&) = delete;

  /// Makes it where it is absent and takes its lock until this object goes. Refuses one that a
  /// newer Slipway wrote (kFailedPrecondition), and one that is in use (kFailedPrecondition, with
  /// the process id and what to do).
  absl::Status Open();

  /// Chooses the folder of sockets and makes it. After Open().
  absl::Status MakeRunFolder();
  /// Removes sockets, state and a folder made under the temporary directory.
  void RemoveRunFolder();

  /// The process that holds the lock, or 0 where none does.
  int64_t Holder() const;

  const std::string& path() const { return path_; }
  std::string Folder(std::string_view name) const;
  const std::string& run_folder() const { return run_folder_; }
  /// "unix:<run>/<name>.sock"
  std::string Socket(std::string_view name) const;
  std::string StateFile() const { return Folder("run") + "/state.json"; }

 private:
  absl::Status Lock();
  absl::Status CheckVersion() const;

  std::string path_;
  std::string run_folder_;
  int lock_ = -1;
};

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_UP_DATA_DIRECTORY_H_
