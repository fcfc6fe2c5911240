#include "services/gateway/usage/journal.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "common/files/files.h"
#include "common/log/log.h"
#include "fmt/format.h"

namespace slipway::gateway {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr char kMagic[8] = {'S', 'L', 'W', 'J', 'R', 'N', 'L', '1'};
constexpr int64_t kHeaderBytes = 64;
constexpr int64_t kFrameHead = 8;
constexpr int64_t kMaxFrame = kFrameHead + static_cast<int64_t>(Journal::kMaxRecordBytes);
constexpr int64_t kReadChunk = 1 << 20;

struct Header {
  char magic[8];
  int64_t sequence;
  uint32_t crc;  // of the two above
};

void Put32(char* at, uint32_t value) { std::memcpy(at, &value, sizeof(value)); }
uint32_t Get32(const char* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

uint32_t FrameCrc(int64_t sequence, uint32_t size, std::string_view payload) {
  char head[12];
  std::memcpy(head, &sequence, 8);
  Put32(head + 8, size);
  return Crc32(payload, Crc32({head, sizeof(head)}));
}

absl::Status WriteAt(int fd, std::string_view bytes, int64_t offset, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (written < 0) {
      if (errno == EINTR) continue;
      return FromErrno(errno, "cannot write", path);
    }
    bytes.remove_prefix(static_cast<size_t>(written));
    offset += written;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadAt(int fd, int64_t size, int64_t offset, const std::string& path) {
  std::string bytes(static_cast<size_t>(size), '\0');
  int64_t have = 0;
  while (have < size) {
    const ssize_t got =
        ::pread(fd, bytes.data() + have, static_cast<size_t>(size - have), offset + have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return FromErrno(errno, "cannot read", path);
    if (got == 0) break;
    have += got;
  }
  bytes.resize(static_cast<size_t>(have));
  return bytes;
}

// The frames at the start of `bytes` that check; returns how many bytes they take.
template <class Visit>
int64_t ForEachFrame(std::string_view bytes, int64_t sequence, Visit visit) {
  int64_t at = 0;
  while (static_cast<int64_t>(bytes.size()) - at >= kFrameHead) {
    const uint32_t size = Get32(bytes.data() + at);
    if (size == 0 || size > Journal::kMaxRecordBytes ||
        at + kFrameHead + size > static_cast<int64_t>(bytes.size())) {
      break;
    }
    const std::string_view payload = bytes.substr(static_cast<size_t>(at + kFrameHead), size);
    if (FrameCrc(sequence, size, payload) != Get32(bytes.data() + at + 4)) break;
    if (!visit(payload)) break;
    at += kFrameHead + size;
  }
  return at;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const JournalOptions& options) {
  if (options.segments < 2 || options.segment_bytes < kHeaderBytes + 4 * kMaxFrame) {
    return absl::InvalidArgumentError("the journal's segments are too few or too small");
  }
  std::unique_ptr<Journal> journal(new Journal(options));
  RETURN_IF_ERROR(journal->OpenFiles());
  RETURN_IF_ERROR(journal->Sync());
  journal->sync_thread_ = std::jthread([journal = journal.get()] { journal->SyncLoop(); });
  return journal;
}

Journal::~Journal() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
  }
  appended_.SignalAll();
  stopped_.SignalAll();
  if (sync_thread_.joinable()) sync_thread_.join();
  (void)Sync();
  MutexLock lock(mutex_);
  for (const Segment& segment : segments_) {
    if (segment.fd >= 0) ::close(segment.fd);
  }
}

absl::Status Journal::OpenFiles() {
  MutexLock lock(mutex_);
  if (::mkdir(options_.folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return FromErrno(errno, "cannot make", options_.folder);
  }
  ASSIGN_OR_RETURN(lock_, FileLock::Take(options_.folder + "/lock", options_.folder));
  const std::string id_path = options_.folder + "/id";
  absl::StatusOr<std::string> id = ReadFile(id_path, 64);
  if (absl::IsNotFound(id.status())) {
    id = RandomHex(8);
    RETURN_IF_ERROR(WriteFileAtomically(id_path, *id, 0600));
  }
  RETURN_IF_ERROR(id.status());
  id_ = *id;

  bool grown = false;
  for (int i = 0; i < options_.segments; ++i) {
    Segment segment;
    segment.path = fmt::format("{}/segment-{:03}", options_.folder, i);
    segment.fd = ::open(segment.path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (segment.fd < 0) return FromErrno(errno, "cannot open", segment.path);
    segments_.push_back(segment);
    ASSIGN_OR_RETURN(const bool filled, FillWithZeros(segments_.back(), options_.segment_bytes));
    grown = grown || filled;
    RETURN_IF_ERROR(Scan(segments_.back()));
    last_sequence_ = std::max(last_sequence_, segments_.back().sequence);
  }
  first_segment_ = last_sequence_ + 1;
  if (!grown) return absl::OkStatus();
  RETURN_IF_ERROR(SyncFolder(options_.folder));
  return SyncFolder(std::filesystem::absolute(options_.folder).parent_path().string());
}

// Zeros, not fallocate: what is written again later needs no new block then.
absl::StatusOr<bool> Journal::FillWithZeros(Segment& segment, int64_t size) {
  struct stat info;
  if (::fstat(segment.fd, &info) != 0) return FromErrno(errno, "cannot read", segment.path);
  segment.size = info.st_size;
  if (segment.size >= size) return false;
  const std::string zeros(64 << 10, '\0');
  while (segment.size < size) {
    const int64_t piece = std::min<int64_t>(size - segment.size, zeros.size());
    RETURN_IF_ERROR(
        WriteAt(segment.fd, std::string_view(zeros).substr(0, piece), segment.size, segment.path));
    segment.size += piece;
  }
  if (::fsync(segment.fd) != 0) return FromErrno(errno, "cannot sync", segment.path);
  return true;
}

absl::Status Journal::Scan(Segment& segment) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadAt(segment.fd, segment.size, 0, segment.path));
  Header header;
  if (bytes.size() < sizeof(header)) return absl::OkStatus();
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || header.sequence < 1 ||
      Crc32({bytes.data(), 16}) != header.crc) {
    return absl::OkStatus();
  }
  segment.sequence = header.sequence;
  segment.end = kHeaderBytes + ForEachFrame(std::string_view(bytes).substr(kHeaderBytes),
                                            header.sequence, [](std::string_view) { return true; });
  return absl::OkStatus();
}

absl::StatusOr<Journal::Room> Journal::Reserve(int records) {
  MutexLock lock(mutex_);
  if (reserved_ + records * kMaxFrame > Usable()) {
    return absl::UnavailableError("more usage waits for the database than can be kept; try again");
  }
  reserved_ += records * kMaxFrame;
  return Room(this, records);
}

void Journal::Unreserve(int records) {
  MutexLock lock(mutex_);
  reserved_ -= records * kMaxFrame;
}

// The end of each segment may stay unused where the next record does not fit.
int64_t Journal::Usable() const {
  int64_t usable = 0;
  for (size_t i = 0; i < segments_.size(); ++i) {
    const Segment& segment = segments_[i];
    if (static_cast<int>(i) == current_) {
      usable += std::max<int64_t>(0, segment.size - segment.end - kMaxFrame);
    } else if (segment.sequence == 0) {
      usable += segment.size - kHeaderBytes - kMaxFrame;
    }
  }
  return usable;
}

absl::Status Journal::StartSegment() {
  const auto free = std::find_if(segments_.begin(), segments_.end(),
                                 [](const Segment& segment) { return segment.sequence == 0; });
  if (free == segments_.end()) return StorageFull(options_.folder);
  Header header{};
  std::memcpy(header.magic, kMagic, sizeof(kMagic));
  header.sequence = ++last_sequence_;
  header.crc = Crc32({reinterpret_cast<const char*>(&header), 16});
  RETURN_IF_ERROR(
      WriteAt(free->fd, {reinterpret_cast<const char*>(&header), sizeof(header)}, 0, free->path));
  free->sequence = last_sequence_;
  free->end = kHeaderBytes;
  free->synced = 0;
  current_ = static_cast<int>(free - segments_.begin());
  return absl::OkStatus();
}

absl::Status Journal::Append(Room& room, std::string_view record) {
  if (record.empty() || record.size() > kMaxRecordBytes || room.records_ < 1) std::abort();
  std::array<char, kMaxFrame> frame;
  const int64_t size = kFrameHead + static_cast<int64_t>(record.size());
  std::memcpy(frame.data() + kFrameHead, record.data(), record.size());
  Put32(frame.data(), static_cast<uint32_t>(record.size()));

  MutexLock lock(mutex_);
  --room.records_;
  reserved_ -= kMaxFrame;
  if (current_ < 0 || segments_[current_].size - segments_[current_].end < size) {
    RETURN_IF_ERROR(StartSegment());
  }
  Segment& segment = segments_[current_];
  Put32(frame.data() + 4, FrameCrc(segment.sequence, static_cast<uint32_t>(record.size()), record));
  RETURN_IF_ERROR(
      WriteAt(segment.fd, {frame.data(), static_cast<size_t>(size)}, segment.end, segment.path));
  segment.end += size;
  if (!dirty_) {
    dirty_ = true;
    appended_.SignalAll();
  }
  return absl::OkStatus();
}

const Journal::Segment* Journal::SegmentAt(int64_t sequence) const {
  for (const Segment& segment : segments_) {
    if (segment.sequence == sequence && sequence != 0) return &segment;
  }
  return nullptr;
}

const Journal::Segment* Journal::SegmentAfter(int64_t sequence) const {
  const Segment* next = nullptr;
  for (const Segment& segment : segments_) {
    if (segment.sequence > sequence && (next == nullptr || segment.sequence < next->sequence)) {
      next = &segment;
    }
  }
  return next;
}

absl::StatusOr<JournalPosition> Journal::Read(
    JournalPosition from, int64_t max_bytes,
    absl::FunctionRef<absl::Status(std::string_view)> visit) {
  const JournalPosition asked = from;
  int fd = -1;
  int64_t end = 0;
  std::string path;
  {
    MutexLock lock(mutex_);
    const Segment* segment = SegmentAt(from.segment);
    // A segment is done with once another one follows it and nothing is left in it.
    if (segment == nullptr || from.offset >= segment->end) {
      const Segment* next = SegmentAfter(from.segment);
      if (next == nullptr) return from;
      segment = next;
      from = {next->sequence, kHeaderBytes};
    }
    from.offset = std::max(from.offset, kHeaderBytes);
    // Released by nobody but the reader, so that it can be read without the lock.
    fd = segment->fd;
    end = segment->synced;
    path = segment->path;
  }
  if (end < from.offset) return asked;
  const int64_t size = std::min({end - from.offset, std::max(max_bytes, kMaxFrame), kReadChunk});
  ASSIGN_OR_RETURN(const std::string bytes, ReadAt(fd, size, from.offset, path));
  absl::Status status;
  const int64_t read = ForEachFrame(bytes, from.segment, [&](std::string_view payload) {
    status = visit(payload);
    return status.ok();
  });
  RETURN_IF_ERROR(status);
  if (read == 0 && size > 0) {
    return absl::DataLossError(fmt::format("{} changed under the journal", path));
  }
  return JournalPosition{from.segment, from.offset + read};
}

void Journal::Release(JournalPosition position) {
  MutexLock lock(mutex_);
  for (size_t i = 0; i < segments_.size(); ++i) {
    Segment& segment = segments_[i];
    if (segment.sequence == 0 || static_cast<int>(i) == current_) continue;
    const bool passed = segment.sequence < position.segment ||
                        (segment.sequence == position.segment && segment.end <= position.offset);
    // The header stays as it is: its records may be read once more after a restart, which
    // starts at the position that their reader has stored.
    if (passed) segment.sequence = 0;
  }
}

JournalPosition Journal::end() const {
  MutexLock lock(mutex_);
  if (current_ >= 0) return {segments_[current_].sequence, segments_[current_].end};
  JournalPosition end;
  for (const Segment& segment : segments_) {
    end = std::max(end, JournalPosition{segment.sequence, segment.end});
  }
  return end;
}

int64_t Journal::free_bytes() const {
  MutexLock lock(mutex_);
  return std::max<int64_t>(0, Usable() - reserved_);
}

absl::Status Journal::Sync() {
  std::vector<Segment> behind;
  {
    MutexLock lock(mutex_);
    dirty_ = false;
    for (const Segment& segment : segments_) {
      if (segment.sequence != 0 && segment.synced < segment.end) behind.push_back(segment);
    }
  }
  absl::Status status;
  for (const Segment& synced : behind) {
    const bool done = ::fdatasync(synced.fd) == 0;
    if (!done) status = FromErrno(errno, "cannot sync", synced.path);
    MutexLock lock(mutex_);
    if (!done) dirty_ = true;
    for (Segment& segment : segments_) {
      if (!done || segment.fd != synced.fd || segment.sequence != synced.sequence) continue;
      segment.synced = std::max(segment.synced, synced.end);
    }
  }
  return status;
}

void Journal::SyncLoop() {
  for (;;) {
    {
      MutexLock lock(mutex_);
      while (!dirty_ && !stopping_) appended_.Wait(mutex_);
      if (stopping_) return;
    }
    const absl::Status status = Sync();
    if (!status.ok()) Log(Severity::kError, "journal_not_synced", {{"error", status}});
    MutexLock lock(mutex_);
    // Records that come meanwhile share the next sync.
    if (!stopping_) stopped_.WaitFor(mutex_, absl::ToChronoNanoseconds(options_.sync_interval));
    if (stopping_) return;
  }
}

}  // namespace slipway::gateway
