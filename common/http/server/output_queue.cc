#include "common/http/server/output_queue.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace slipway::http {
namespace {

constexpr size_t kMaxVectors = 16;

}  // namespace

void OutputQueue::Add(std::string bytes) {
  if (bytes.empty()) return;
  added_ += bytes.size();
  strings_.push_back(std::move(bytes));
}

OutputQueue::Result OutputQueue::Send(int descriptor) {
  while (!empty()) {
    iovec vectors[kMaxVectors];
    const size_t count = std::min(kMaxVectors, strings_.size() - at_);
    for (size_t i = 0; i < count; ++i) {
      std::string& bytes = strings_[at_ + i];
      const size_t offset = i == 0 ? offset_ : 0;
      vectors[i] = {bytes.data() + offset, bytes.size() - offset};
    }
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = count;
    const ssize_t sent = ::sendmsg(descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK ? Result::kFull : Result::kBroken;
    }
    sent_ += static_cast<uint64_t>(sent);
    for (size_t left = static_cast<size_t>(sent); left > 0;) {
      std::string& bytes = strings_[at_];
      const size_t here = std::min(left, bytes.size() - offset_);
      left -= here;
      offset_ += here;
      if (offset_ == bytes.size()) {
        std::string().swap(bytes);  // a large one goes as soon as it is sent
        ++at_;
        offset_ = 0;
      }
    }
  }
  Clear();
  return Result::kAllSent;
}

std::vector<Exchange::DoneCallback> OutputQueue::TakeDue() {
  std::vector<Exchange::DoneCallback> due;
  for (MarkAt& mark : marks_) {
    if (mark.end > sent_) break;
    due.push_back(std::move(mark.done));
  }
  marks_.erase(marks_.begin(), marks_.begin() + static_cast<ptrdiff_t>(due.size()));
  return due;
}

std::vector<Exchange::DoneCallback> OutputQueue::TakeAll() {
  std::vector<Exchange::DoneCallback> all;
  for (MarkAt& mark : marks_) all.push_back(std::move(mark.done));
  marks_.clear();
  return all;
}

void OutputQueue::Clear() {
  strings_.clear();
  at_ = 0;
  offset_ = 0;
}

}  // namespace slipway::http
