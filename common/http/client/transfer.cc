#include "common/http/client/transfer.h"

#include <algorithm>
#include <utility>

#include "common/time/clock.h"
#include "fmt/format.h"

namespace slipway::http {
namespace {

// Of an answer that is an error, this much is kept to tell.
constexpr size_t kMaxFailureBody = 1 << 20;

}  // namespace

void Transfer::SetSource(std::istream& source, std::optional<uint64_t> length,
                         const Client::Progress& progress) {
  MutexLock lock(mutex_);
  source_ = &source;
  source_left_ = length;
  progress_ = &progress;
}

size_t Transfer::ReadSource(char* into, size_t most) {
  MutexLock lock(mutex_);
  if (closed_ || source_ == nullptr) return 0;
  // cpprest asks for more when it has sent what it got.
  if (*progress_ && read_ > 0) (*progress_)(read_);
  if (source_left_.has_value()) most = std::min<uint64_t>(most, *source_left_);
  source_->read(into, static_cast<std::streamsize>(most));
  const size_t got = static_cast<size_t>(source_->gcount());
  read_ += got;
  if (source_left_.has_value()) *source_left_ -= got;
  if (source_->bad()) {
    error_ = absl::DataLossError("the body could not be read to its end");
  } else if (got == 0 && source_left_.value_or(0) > 0) {
    error_ = absl::InvalidArgumentError(fmt::format(
        "the body ended after {} bytes, {} bytes before its announced end", read_, *source_left_));
  }
  return got;
}

absl::Status Transfer::Deliver(std::string_view piece) {
  if (!error_.ok()) return error_;
  const int status = head_->status_code();
  if (status >= 200 && status < 300) {
    error_ = (*sink_)(piece);
  } else {
    failure_body_.append(piece.substr(0, kMaxFailureBody - failure_body_.size()));
  }
  return error_;
}

absl::Status Transfer::TakePiece(std::string_view piece) {
  MutexLock lock(mutex_);
  if (closed_) return absl::CancelledError("the call is over");
  if (!head_.has_value()) {
    // Not waited for: the thread that is to announce the head may need this one's place.
    early_.append(piece);
    return absl::OkStatus();
  }
  return Deliver(piece);
}

void Transfer::Begin(web::http::http_response head) {
  MutexLock lock(mutex_);
  if (closed_) return;
  head_.emplace(std::move(head));
  if (!early_.empty()) error_ = Deliver(std::exchange(early_, {}));
  begun_.SignalAll();
}

void Transfer::Fail(std::exception_ptr error) {
  MutexLock lock(mutex_);
  failure_ = std::move(error);
  begun_.SignalAll();
}

std::optional<web::http::http_response> Transfer::WaitForHead(absl::Duration timeout) {
  const Clock& clock = Clock::Real();
  const absl::Duration deadline = clock.Monotonic() + timeout;
  MutexLock lock(mutex_);
  while (!head_.has_value() && failure_ == nullptr) {
    const absl::Duration left = deadline - clock.Monotonic();
    if (left <= absl::ZeroDuration()) return std::nullopt;
    begun_.WaitFor(mutex_, absl::ToChronoNanoseconds(std::min(left, absl::Hours(1))));
  }
  if (failure_ != nullptr) std::rethrow_exception(failure_);
  return head_;
}

absl::Status Transfer::error() const {
  MutexLock lock(mutex_);
  return error_;
}

std::string Transfer::TakeFailure() {
  MutexLock lock(mutex_);
  return std::exchange(failure_body_, {});
}

uint64_t Transfer::sent() const {
  MutexLock lock(mutex_);
  return read_;
}

void Transfer::Close() {
  // An answer of cpprest's holds its request, that its stream, and that this transfer.
  std::optional<web::http::http_response> head;
  MutexLock lock(mutex_);
  closed_ = true;
  head_.swap(head);
  sink_ = nullptr;
  source_ = nullptr;
  progress_ = nullptr;
}

}  // namespace slipway::http
