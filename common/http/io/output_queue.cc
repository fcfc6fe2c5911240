#include "common/http/io/output_queue.h"

#include <sys/uio.h>

#include <algorithm>
#include <utility>

namespace slipway::http {
namespace {

constexpr size_t kMaxVectors = 16;
// Copied bytes are joined up to this size.
constexpr size_t kMaxJoined = 16 << 10;

}  // namespace

void OutputQueue::Add(std::string bytes) {
  const size_t size = bytes.size();
  if (size == 0) return;
  added_ += size;
  size_ += size;
  segments_.push_back({.own = std::move(bytes)});
}

void OutputQueue::Add(std::shared_ptr<const void> owner, std::string_view bytes) {
  if (bytes.empty()) return;
  added_ += bytes.size();
  size_ += bytes.size();
  segments_.push_back({.owner = std::move(owner), .elsewhere = bytes});
}

void OutputQueue::Append(std::string_view bytes) {
  if (bytes.empty()) return;
  if (empty() || segments_.back().owner != nullptr ||
      segments_.back().own.size() + bytes.size() > kMaxJoined) {
    segments_.emplace_back();
  }
  segments_.back().own.append(bytes);
  added_ += bytes.size();
  size_ += bytes.size();
}

OutputQueue::Result OutputQueue::Send(Transport& transport) {
  while (!empty()) {
    iovec vectors[kMaxVectors];
    const size_t count = std::min(kMaxVectors, segments_.size() - at_);
    for (size_t i = 0; i < count; ++i) {
      const std::string_view bytes = segments_[at_ + i].view().substr(i == 0 ? offset_ : 0);
      vectors[i] = {const_cast<char*>(bytes.data()), bytes.size()};
    }
    size_t sent = 0;
    switch (transport.Write(vectors, count, sent)) {
      case Transport::Result::kOk:
        break;
      case Transport::Result::kWouldBlock:
        return Result::kFull;
      case Transport::Result::kEnded:
      case Transport::Result::kBroken:
        return Result::kBroken;
    }
    sent_ += sent;
    size_ -= sent;
    for (size_t left = sent; left > 0;) {
      Segment& segment = segments_[at_];
      const size_t size = segment.view().size();
      const size_t here = std::min(left, size - offset_);
      left -= here;
      offset_ += here;
      if (offset_ == size) {
        segment = Segment();  // a large one goes as soon as it is sent
        ++at_;
        offset_ = 0;
      }
    }
  }
  segments_.clear();
  at_ = 0;
  return Result::kAllSent;
}

std::vector<OutputQueue::DoneCallback> OutputQueue::TakeDue() {
  std::vector<DoneCallback> due;
  for (MarkAt& mark : marks_) {
    if (mark.end > sent_) break;
    due.push_back(std::move(mark.done));
  }
  marks_.erase(marks_.begin(), marks_.begin() + static_cast<ptrdiff_t>(due.size()));
  return due;
}

std::vector<OutputQueue::DoneCallback> OutputQueue::TakeAll() {
  std::vector<DoneCallback> all;
  for (MarkAt& mark : marks_) all.push_back(std::move(mark.done));
  marks_.clear();
  return all;
}

void OutputQueue::Clear() {
  segments_.clear();
  at_ = 0;
  offset_ = 0;
  size_ = 0;
}

}  // namespace slipway::http
