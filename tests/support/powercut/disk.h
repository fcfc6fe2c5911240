#ifndef SLIPWAY_TESTS_SUPPORT_POWERCUT_DISK_H_
#define SLIPWAY_TESTS_SUPPORT_POWERCUT_DISK_H_

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "tests/support/powercut/tape.h"

namespace slipway::powercut {

/// What a program did to the files of one folder, as the layer recorded it.
class Tape {
 public:
  struct Entry {
    Frame frame;
    std::string path;  ///< Below the folder; "" is the folder itself.
    std::string second;
    std::string data;
    /// Of a kSyncEnd: the entry of its kSyncBegin.
    size_t begin = 0;
  };

  /// `root`: the folder that was recorded.
  static absl::StatusOr<Tape> Read(const std::string& file, const std::string& root);

  const std::vector<Entry>& entries() const { return entries_; }

  /// The lines that the program had written into kAcknowledged by entry `at`.
  std::vector<std::string> Acknowledged(size_t at) const;

 private:
  std::vector<Entry> entries_;
};

/// A program under test says what it may no longer lose by writing a line into this file of the
/// folder. It tells when that was said, and is itself no part of what is cut.
inline constexpr char kAcknowledged[] = "acknowledged";

/// A sync as a test tells it from others.
struct SyncCall {
  std::string path;  ///< Below the folder.
  bool directory = false;
  bool data_only = false;  ///< fdatasync
  bool removes = false;    ///< Of a directory: it has entries to remove.
};

enum class Survival {
  kAll,      ///< What a kill leaves: all that was done.
  kNothing,  ///< Of what was not synced.
  kSome,     ///< Of what was not synced: of each file any of the writes, each whole or any of its
             ///< sectors of 512 bytes; of each directory the first few changes.
};

struct Cut {
  size_t at = 0;  ///< Entries of the tape that were done.
  Survival survival = Survival::kNothing;
  uint64_t seed = 0;
  /// Syncs that did nothing; null: none.
  std::function<bool(const SyncCall&)> ignore = nullptr;
};

/// Makes in `into` (which does not exist) what the disk holds after the cut. The folder held what
/// `base` holds when the recording began, all of it synced.
///
/// The disk keeps what POSIX promises and nothing else: a file's bytes by a sync of the file, its
/// name, also a new one, by a sync of the directory. A rename within a directory is all or nothing.
absl::Status Restore(const Tape& tape, const Cut& cut, const std::filesystem::path& base,
                     const std::filesystem::path& into);

/// Each sync of the tape, in order.
std::vector<SyncCall> SyncsOf(const Tape& tape, const std::filesystem::path& base);

}  // namespace slipway::powercut

#endif  // SLIPWAY_TESTS_SUPPORT_POWERCUT_DISK_H_
