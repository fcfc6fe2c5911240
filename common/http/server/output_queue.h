#ifndef SLIPWAY_COMMON_HTTP_SERVER_OUTPUT_QUEUE_H_
#define SLIPWAY_COMMON_HTTP_SERVER_OUTPUT_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/server/server.h"
#include "common/http/server/transport.h"

namespace slipway::http {

/// Bytes on their way to a peer, in strings that are sent together. One thread at a time.
class OutputQueue {
 public:
  enum class Result {
    kAllSent,
    kFull,   ///< The socket takes no more for now.
    kBroken  ///< The peer is gone.
  };

  void Add(std::string bytes);
  /// The same for a part of a string that others hold too.
  void Add(std::shared_ptr<const std::string> owner, size_t offset, size_t size);
  /// Copies `bytes` behind what was copied before: for many small ones.
  void Append(std::string_view bytes);

  /// `done` is due once all that was added so far is sent.
  void Mark(Exchange::DoneCallback done) { marks_.push_back({added_, std::move(done)}); }

  /// Sends what the peer takes, without waiting: several strings with one system call.
  Result Send(Transport& transport);

  /// Marks that are due, in their order; they are taken out.
  std::vector<Exchange::DoneCallback> TakeDue();
  /// All marks, due or not.
  std::vector<Exchange::DoneCallback> TakeAll();

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
    Exchange::DoneCallback done;
  };

  struct Segment {
    std::string own = {};
    std::shared_ptr<const std::string> shared = nullptr;  // instead
    size_t offset = 0;                                    // in the shared one
    size_t size = 0;

    const char* data() const { return shared == nullptr ? own.data() : shared->data() + offset; }
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

#endif  // SLIPWAY_COMMON_HTTP_SERVER_OUTPUT_QUEUE_H_
