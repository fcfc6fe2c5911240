#ifndef SLIPWAY_COMMON_HTTP_IO_OUTPUT_QUEUE_H_
#define SLIPWAY_COMMON_HTTP_IO_OUTPUT_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "common/http/io/transport.h"
#include "common/status/status.h"

namespace slipway::http {

/// Bytes on their way to a peer, in strings that are sent together. One thread at a time.
class OutputQueue {
 public:
  using DoneCallback = absl::AnyInvocable<void(absl::Status)>;

  enum class Result {
    kAllSent,
    kFull,   ///< The socket takes no more for now.
    kBroken  ///< The peer is gone.
  };

  void Add(std::string bytes);
  /// The same for bytes that lie elsewhere, and live as long as `owner`.
  void Add(std::shared_ptr<const void> owner, std::string_view bytes);
  /// Copies `bytes` behind what was copied before: for many small ones.
  void Append(std::string_view bytes);

  /// `done` is due once all that was added so far is sent.
  void Mark(DoneCallback done) { marks_.push_back({added_, std::move(done)}); }

  /// Sends what the peer takes, without waiting: several strings with one system call.
  Result Send(Transport& transport);

  /// Marks that are due, in their order; they are taken out.
  std::vector<DoneCallback> TakeDue();
  /// All marks, due or not.
  std::vector<DoneCallback> TakeAll();

  /// Forgets what is not sent. Marks stay.
  void Clear();

  bool empty() const { return at_ == segments_.size(); }
  /// Bytes that wait.
  uint64_t size() const { return size_; }
  bool has_marks() const { return !marks_.empty(); }
  uint64_t added_bytes() const { return added_; }
  uint64_t sent_bytes() const { return sent_; }

 private:
  struct MarkAt {
    uint64_t end;  // in bytes since the beginning
    DoneCallback done;
  };

  struct Segment {
    std::string own = {};
    std::shared_ptr<const void> owner = nullptr;  // of bytes that lie elsewhere
    std::string_view elsewhere = {};

    std::string_view view() const { return owner == nullptr ? std::string_view(own) : elsewhere; }
  };

  std::vector<Segment> segments_;
  size_t at_ = 0;      // the first one that is not sent
  size_t offset_ = 0;  // and how much of it is
  uint64_t size_ = 0;
  uint64_t added_ = 0;
  uint64_t sent_ = 0;
  std::vector<MarkAt> marks_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_IO_OUTPUT_QUEUE_H_
