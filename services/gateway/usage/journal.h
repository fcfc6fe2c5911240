#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_JOURNAL_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_JOURNAL_H_

#include <compare>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/files/file_lock.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"

namespace slipway::gateway {

struct JournalOptions {
  std::string folder;
  int64_t segment_bytes = 2 << 20;
  int segments = 16;
  /// How long a record may wait for its sync.
  absl::Duration sync_interval = absl::Milliseconds(50);
};

/// A place between two records. Earlier is less.
struct JournalPosition {
  int64_t segment = 0;
  int64_t offset = 0;
  auto operator<=>(const JournalPosition&) const = default;
};

/// Records on disk in the order of their writing, in a ring of files whose space is taken at the
/// start: a disk that fills up later stops no Append. A record is with the kernel when Append
/// returns (a kill loses none) and on the disk within `sync_interval` and one sync (a power cut
/// loses that much). Only then Read hands it on: whoever stores how far it has read never stores a
/// place that a power cut takes back, so that no later record can come to lie before it. Whoever
/// moves the records on calls Release, and their space is used again; when all of it is in use,
/// Reserve says so.
///
/// A segment is a header (magic, sequence number, CRC) and records: 4 bytes of length, 4 bytes of
/// CRC-32 over sequence number, length and payload, payload; little-endian. The first record that
/// does not check is the segment's end, so that a torn tail and what an earlier turn of the ring
/// left are never read as records. Each process starts a segment of its own.
///
/// Any thread. One journal a folder: a second one, also of another process, is refused.
class Journal {
 public:
  static constexpr size_t kMaxRecordBytes = 1024;

  /// Makes the files where they are absent or short. Errors: StorageFull, kInvalidArgument
  /// (options), kFailedPrecondition (the folder is in use), what the system calls say.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const JournalOptions& options);

  /// Syncs.
  ~Journal();

  /// Space for a few records, kept until they are written or this goes. Moves.
  class Room {
   public:
    Room() = default;
    Room(Room&& other) noexcept : journal_(other.journal_), records_(other.records_) {
      other.records_ = 0;
    }
    Room& operator=(Room&& other) noexcept {
      std::swap(journal_, other.journal_);
      std::swap(records_, other.records_);
      return *this;
    }
    ~Room() {
      if (records_ > 0) journal_->Unreserve(records_);
    }

   private:
    friend class Journal;
    Room(Journal* journal, int records) : journal_(journal), records_(records) {}
    Journal* journal_ = nullptr;
    int records_ = 0;
  };

  /// Errors: kUnavailable (no space is left).
  absl::StatusOr<Room> Reserve(int records);

  /// Writes a record of at most kMaxRecordBytes (more aborts) into reserved room (none left
  /// aborts). Errors: what the disk says; the room is used up all the same.
  absl::Status Append(Room& room, std::string_view record);

  /// Hands the synced records from `from` on to `visit`, at most about `max_bytes` of them and of
  /// one segment. Returns where to go on; `from` itself when there is nothing more. A position in
  /// a segment that is gone starts at the oldest.
  absl::StatusOr<JournalPosition> Read(JournalPosition from, int64_t max_bytes,
                                       absl::FunctionRef<absl::Status(std::string_view)> visit);

  /// Records before `position` are needed no more.
  void Release(JournalPosition position);

  /// Behind the newest record.
  JournalPosition end() const;

  /// The first segment of this process: records before it are from earlier ones.
  int64_t first_segment() const { return first_segment_; }

  /// Returns when everything that was appended is on the disk.
  absl::Status Sync();

  /// Stays the same for a folder: tells the rows of this journal from those of other replicas.
  const std::string& id() const { return id_; }

  int64_t size_bytes() const { return options_.segments * options_.segment_bytes; }
  /// Bytes that Reserve may still hand out.
  int64_t free_bytes() const;

 private:
  struct Segment {
    std::string path;
    int fd = -1;
    int64_t size = 0;
    int64_t sequence = 0;  // 0: holds nothing that is needed
    int64_t end = 0;
    int64_t synced = 0;  // of these, what is on the disk
  };

  explicit Journal(JournalOptions options) : options_(std::move(options)) {}
  absl::Status OpenFiles();
  static absl::StatusOr<bool> FillWithZeros(Segment& segment, int64_t size);
  static absl::Status Scan(Segment& segment);
  void Unreserve(int records);
  int64_t Usable() const REQUIRES(mutex_);
  absl::Status StartSegment() REQUIRES(mutex_);
  const Segment* SegmentAt(int64_t sequence) const REQUIRES(mutex_);
  const Segment* SegmentAfter(int64_t sequence) const REQUIRES(mutex_);
  void SyncLoop();

  const JournalOptions options_;
  std::string id_;
  FileLock lock_;
  int64_t first_segment_ = 0;

  mutable Mutex mutex_;
  CondVar appended_;
  CondVar stopped_;
  std::vector<Segment> segments_ GUARDED_BY(mutex_);
  int current_ GUARDED_BY(mutex_) = -1;
  int64_t last_sequence_ GUARDED_BY(mutex_) = 0;
  int64_t reserved_ GUARDED_BY(mutex_) = 0;
  bool dirty_ GUARDED_BY(mutex_) = false;
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::jthread sync_thread_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_JOURNAL_H_
