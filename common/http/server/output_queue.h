#ifndef SLIPWAY_COMMON_HTTP_SERVER_OUTPUT_QUEUE_H_
#define SLIPWAY_COMMON_HTTP_SERVER_OUTPUT_QUEUE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/http/server/server.h"

namespace slipway::http {

/// Bytes on their way to a socket, in strings that are sent together and never copied. One thread
/// at a time.
class OutputQueue {
 public:
  enum class Result {
    kAllSent,
    kFull,   ///< The socket takes no more for now.
    kBroken  ///< The peer is gone.
  };

  void Add(std::string bytes);

  /// `done` is due once all that was added so far is sent.
  void Mark(Exchange::DoneCallback done) { marks_.push_back({added_, std::move(done)}); }

  /// Sends what the socket takes, without waiting: several strings with one system call.
  Result Send(int descriptor);

  /// Marks that are due, in their order; they are taken out.
  std::vector<Exchange::DoneCallback> TakeDue();
  /// All marks, due or not.
  std::vector<Exchange::DoneCallback> TakeAll();

  /// Forgets what is not sent. Marks stay.
  void Clear();

  bool empty() const { return at_ == strings_.size(); }
  bool has_marks() const { return !marks_.empty(); }
  uint64_t added_bytes() const { return added_; }
  uint64_t sent_bytes() const { return sent_; }

 private:
  struct MarkAt {
    uint64_t end;  // in bytes since the beginning
    Exchange::DoneCallback done;
  };

  std::vector<std::string> strings_;
  size_t at_ = 0;      // the first string that is not sent
  size_t offset_ = 0;  // and how much of it is
  uint64_t added_ = 0;
  uint64_t sent_ = 0;
  std::vector<MarkAt> marks_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_OUTPUT_QUEUE_H_
