#include "common/http/server/http1_connection.h"

#include <algorithm>
#include <utility>

#include "common/http/server/caller_address.h"
#include "common/http/server/http1_exchange.h"
#include "common/http/server/request_id.h"
#include "common/http/server/response_writer.h"
#include "fmt/format.h"

namespace slipway::http {
namespace {

// Most heads and small bodies fit into this much input.
constexpr size_t kSmallInput = 2 << 10;
// A body is read in pieces of this size.
constexpr size_t kBodyInput = 64 << 10;
// Memory is set aside for a body of an announced length up to this size.
constexpr uint64_t kMaxReserve = 4 << 20;
// A body that nobody read is read over up to this size; above it the connection is closed.
constexpr uint64_t kMaxLeftover = 64 << 10;
// How long and how much is thrown away after a last answer.
constexpr absl::Duration kLinger = absl::Seconds(2);
constexpr size_t kMaxLinger = 8 << 20;
// Rounds of callbacks before other connections get their turn.
constexpr int kMaxRounds = 16;
// Pieces up to this size are copied into one string with the lines around them.
constexpr size_t kSmallPiece = 4 << 10;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

absl::Status Over() { return absl::CancelledError("the exchange is over"); }
absl::Status PeerGone() { return absl::CancelledError("the peer went away"); }

}  // namespace

Http1Connection::Http1Connection(NewConnection opened)
    : loop_(std::move(opened.loop)),
      core_(loop_->core()),
      peer_(std::move(opened.peer)),
      from_proxy_(opened.from_proxy),
      transport_(std::move(opened.transport)),
      input_(std::move(opened.input)),
      read_bytes_(input_.size()),
      parser_(core_.options.max_header_bytes),
      phase_deadline_(opened.deadline) {}

Http1Connection::~Http1Connection() = default;

// ---- The I/O thread ----------------------------------------------------------------------------

void Http1Connection::Start() { Pump(); }

void Http1Connection::OnReadable(const boost::system::error_code& error) {
  {
    MutexLock lock(mutex_);
    reading_ = false;
    if (phase_ == Phase::kClosed) return;
    const size_t room = InputRoom();
    if (error) {
      lost_ = true;
    } else if (input_.size() < room) {
      const auto [space, size] = input_.Prepare(room);
      size_t bytes = 0;
      switch (transport_.Read(space, size, bytes)) {
        case Transport::Result::kOk:
          input_.Commit(bytes);
          read_bytes_ += bytes;
          core_.bytes_read.fetch_add(bytes, std::memory_order_relaxed);
          break;
        case Transport::Result::kWouldBlock:
          break;
        case Transport::Result::kEnded:
          peer_ended_ = true;
          break;
        case Transport::Result::kBroken:
          lost_ = true;
          break;
      }
    }
  }
  Pump();
}

void Http1Connection::OnWritable(const boost::system::error_code& error) {
  {
    ExchangeState ended;
    MutexLock lock(mutex_);
    writing_ = false;
    if (phase_ == Phase::kClosed) return;
    if (error) lost_ = true;
    if (!lost_) Flush(ended);
  }
  Pump();
}

// Takes the connection as far as its input allows and runs the callbacks that become due. All
// callbacks run here, so that none runs inside a call of the user's, and no chain of them can use
// up the stack.
void Http1Connection::Pump() {
  for (int round = 0;; ++round) {
    {
      MutexLock lock(mutex_);
      if (round == 0) {
        woken_ = false;
        pumping_ = true;
      }
      Advance();
      if (due_.empty() || round == kMaxRounds) {
        pumping_ = false;
        if (due_.empty()) {
          ArmRead();
        } else {
          Wake();
        }
        return;
      }
      running_.swap(due_);
    }
    for (absl::AnyInvocable<void()>& call : running_) call();
    running_.clear();
  }
}

void Http1Connection::Advance() {
  if (phase_ == Phase::kClosed) return;
  if (lost_) {
    if (state_.active) EndExchange(PeerGone());
    Close();
    return;
  }
  switch (phase_) {
    case Phase::kHead:
      TakeHead();
      break;
    case Phase::kExchange:
      if (state_.reader && state_.answer != Progress::kComplete) ServeReader();
      if (peer_ended_ && state_.cancelled) {
        // Perhaps it only ended its side: an answer is still sent if one comes.
        due_.push_back(std::exchange(state_.cancelled, nullptr));
      }
      break;
    case Phase::kLinger: {
      const size_t bytes = input_.size();
      input_.Consume(bytes);
      linger_left_ -= std::min(bytes, linger_left_);
      if (peer_ended_ || linger_left_ == 0) Close();
      break;
    }
    case Phase::kClosing:
      Close();
      break;
    case Phase::kLastWords:
    case Phase::kClosed:
      break;
  }
}

void Http1Connection::TakeHead() {
  if (leftover_ > 0) {
    const size_t bytes = std::min<uint64_t>(leftover_, input_.size());
    input_.Consume(bytes);
    leftover_ -= bytes;
  }
  if (leftover_ > 0 || input_.empty()) {
    if (peer_ended_) Close();
    return;
  }
  size_t consumed = 0;
  ParsedHead parsed;
  switch (parser_.ParseHead(input_.view(), consumed, parsed)) {
    case RequestParser::Result::kNeedMore:
      if (peer_ended_) {
        Close();
      } else if (!head_begun_) {
        head_begun_ = true;
        if (served_) phase_deadline_ = core_.Now() + Nanos(core_.options.header_timeout);
      }
      break;
    case RequestParser::Result::kError:
      Refuse(parser_.error(), absl::OkStatus(), /*linger=*/true);
      break;
    case RequestParser::Result::kDone:
      input_.Consume(consumed);
      BeginExchange(std::move(parsed));
      break;
  }
}

void Http1Connection::BeginExchange(ParsedHead parsed) {
  phase_ = Phase::kExchange;
  parsed.head.peer_address =
      from_proxy_ ? CallerAddress(core_.options.trusted_proxies, peer_, parsed.head.headers)
                  : peer_;
  parsed.head.request_id = NewRequestId();
  read_watch_.Reset();
  state_.active = true;
  state_.keep_alive = parsed.keep_alive;
  state_.body = RequestBody(parsed, core_.options.max_body_bytes);
  state_.expects_continue = parsed.expects_continue && !state_.body.done();
  state_.pause = Nanos(core_.options.stall_timeout);
  state_.deadline = core_.Now() + Nanos(core_.options.total_timeout);
  core_.requests_started.fetch_add(1, std::memory_order_relaxed);
  core_.requests_open.fetch_add(1, std::memory_order_relaxed);
  auto exchange = std::make_shared<Http1Exchange>(shared_from_this(), std::move(parsed.head));
  state_.exchange = exchange.get();
  // No more is captured than fits into the callback without an allocation.
  due_.push_back([exchange = std::move(exchange)]() mutable {
    Handler& handler = exchange->handler();
    handler.Handle(std::move(exchange));
  });
}

// Gives the waiting reader what has come, if that is enough for it.
void Http1Connection::ServeReader() {
  ExchangeState& state = state_;
  if (!input_.empty()) state.expects_continue = false;  // it did not wait
  std::string piece;
  std::string& sink = state.reader_wants_whole ? state.collected : piece;
  if (sink.capacity() < state.body.left() && state.reader_wants_whole) {
    sink.reserve(std::min(state.body.left(), kMaxReserve));
  }
  const RequestBody::Result result = state.body.Take(input_, parser_, sink);
  switch (result) {
    case RequestBody::Result::kTooLarge:
    case RequestBody::Result::kMalformed:
      RefuseBody(result);
      return;
    case RequestBody::Result::kDone:
    case RequestBody::Result::kMore:
      break;
  }
  const bool done = result == RequestBody::Result::kDone;
  if (done || (!state.reader_wants_whole && !piece.empty())) {
    if (done) {
      read_watch_.Reset();
      if (!state.reader_wants_whole && !state.deadline_is_fixed) {
        state.deadline = core_.Now() + Nanos(core_.options.total_timeout);
      }
    } else if (read_watch_.waiting()) {
      read_watch_.End(core_.Now(), read_bytes_);
    }
    due_.push_back([reader = std::exchange(state.reader, nullptr),
                    bytes = std::move(sink)]() mutable { reader(std::move(bytes)); });
  } else if (peer_ended_) {
    lost_ = true;
    EndExchange(PeerGone());
    Close();
  } else {
    if (state.expects_continue) {
      state.expects_continue = false;
      output_.Add("HTTP/1.1 100 Continue\r\n\r\n");
      Send();
    }
    if (!read_watch_.waiting()) {
      read_watch_.Begin(core_.Now(), state_.pause, read_bytes_);
    }
  }
}

void Http1Connection::RefuseBody(RequestBody::Result why) {
  if (why == RequestBody::Result::kMalformed) {
    const ParseError& error = parser_.error();
    Refuse(error, absl::InvalidArgumentError(std::string(error.message)), /*linger=*/true);
    return;
  }
  const uint64_t limit = state_.body.limit();
  const std::string message =
      fmt::format("the request's body is over the limit of {} bytes", limit);
  Refuse(ParseError{.status = 413,
                    .refusal = Refusal::kBodyTooLarge,
                    .code = "body_too_large",
                    .message = message},
         TooLarge("the request's body", limit), /*linger=*/true);
}

size_t Http1Connection::InputRoom() const {
  switch (phase_) {
    case Phase::kHead:
      // A head that fills the buffer gets more, up to where it is refused.
      return input_.size() < input_.capacity()
                 ? input_.capacity()
                 : std::clamp(2 * input_.size(), kSmallInput, kBodyInput);
    case Phase::kExchange: {
      // Beyond what was asked for only a little is read, to see the peer leave.
      const RequestBody& body = state_.body;
      const bool large =
          state_.body_wanted && !body.done() && (!body.has_length() || body.left() > kSmallInput);
      return large ? kBodyInput : kSmallInput;
    }
    case Phase::kLinger:
      return kSmallInput;
    case Phase::kLastWords:
    case Phase::kClosing:
    case Phase::kClosed:
      return 0;
  }
  return 0;
}

void Http1Connection::ArmRead() {
  if (reading_ || peer_ended_ || lost_) return;
  if (input_.empty()) input_.Release();
  if (input_.size() >= InputRoom()) return;
  reading_ = true;
  transport_.WaitReadable([self = shared_from_this()](const boost::system::error_code& error) {
    self->OnReadable(error);
  });
}

void Http1Connection::Close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  transport_.Close(reset_);
  output_.Clear();
  core_.connections.Release(peer_);
  loop_->Remove(*this);
}

void Http1Connection::CheckDeadlines(int64_t now) {
  {
    MutexLock lock(mutex_);
    Check(now);
    if (due_.empty() && !lost_ && phase_ != Phase::kClosing) return;
  }
  Pump();
}

void Http1Connection::Check(int64_t now) {
  const int64_t stall_timeout = Nanos(core_.options.stall_timeout);
  switch (phase_) {
    case Phase::kHead:
      if (now < phase_deadline_) break;
      if (head_begun_) {
        Refuse(ParseError{.status = 408,
                          .refusal = Refusal::kHeaderTimeout,
                          .code = "request_timeout",
                          .message = "the request's header did not come in time"},
               absl::OkStatus(), /*linger=*/false);
      } else {
        core_.CountRefusal(served_ ? Refusal::kIdleTimeout : Refusal::kHeaderTimeout);
        Close();
      }
      break;
    case Phase::kExchange:
      if (state_.answer == Progress::kComplete) break;
      if (now >= state_.deadline) {
        const bool coming_in = state_.reader && !state_.body.done();
        Refuse(ParseError{.status = coming_in ? 408 : 504,
                          .refusal = Refusal::kTotalTimeout,
                          .code = coming_in ? "request_timeout" : "deadline_exceeded",
                          .message = "the request took too long"},
               absl::DeadlineExceededError("the request took too long"), /*linger=*/false);
      } else if (read_watch_.HasStalled(now, state_.pause, read_bytes_)) {
        Refuse(ParseError{.status = 408,
                          .refusal = Refusal::kBodyTimeout,
                          .code = "request_timeout",
                          .message = "the request's body did not come in time"},
               absl::DeadlineExceededError("the request's body did not come in time"),
               /*linger=*/false);
      }
      break;
    case Phase::kLinger:
      if (now >= phase_deadline_) Close();
      break;
    case Phase::kLastWords:
    case Phase::kClosing:
    case Phase::kClosed:
      break;
  }
  if (phase_ == Phase::kClosed) return;
  if (write_watch_.HasStalled(now, stall_timeout, output_.sent_bytes())) {
    core_.CountRefusal(Refusal::kWriteTimeout);
    Cut();
  }
}

void Http1Connection::CloseIfIdle() {
  MutexLock lock(mutex_);
  if (phase_ != Phase::kHead || !input_.empty() || leftover_ > 0) return;
  if (transport_.HasUnread()) return;
  Close();
}

int Http1Connection::Abort() {
  int broken = 0;
  {
    MutexLock lock(mutex_);
    broken = state_.active ? 1 : 0;
    Cut();
  }
  Pump();
  return broken;
}

// ---- Any thread: what the exchange asks for ----------------------------------------------------

void Http1Connection::LimitBody(const Http1Exchange& exchange, uint64_t bytes) {
  MutexLock lock(mutex_);
  if (IsCurrent(exchange)) state_.body.set_limit(bytes);
}

void Http1Connection::LimitTime(const Http1Exchange& exchange, absl::Duration limit) {
  MutexLock lock(mutex_);
  if (!IsCurrent(exchange)) return;
  state_.deadline = core_.Now() + Nanos(limit);
  state_.deadline_is_fixed = true;
}

void Http1Connection::LimitPause(const Http1Exchange& exchange, absl::Duration limit) {
  MutexLock lock(mutex_);
  if (!IsCurrent(exchange)) return;
  state_.pause = Nanos(limit);
  const bool waiting = read_watch_.waiting();
  read_watch_.Reset();
  if (waiting) read_watch_.Begin(core_.Now(), state_.pause, read_bytes_);
}

void Http1Connection::Read(const Http1Exchange& exchange, bool whole, std::optional<uint64_t> limit,
                           Exchange::BodyCallback done) {
  absl::Status refused = Over();
  {
    MutexLock lock(mutex_);
    if (IsCurrent(exchange) && state_.answer != Progress::kComplete) {
      if (!state_.reader) {
        if (limit.has_value()) state_.body.set_limit(*limit);
        if (!whole && !state_.deadline_is_fixed && !state_.body.done()) state_.deadline = kNever;
        state_.reader = std::move(done);
        state_.reader_wants_whole = whole;
        state_.body_wanted = true;
        Wake();
        return;
      }
      refused = absl::FailedPreconditionError("a read of the body is under way");
    }
  }
  loop_->Post([done = std::move(done), refused = std::move(refused)]() mutable { done(refused); });
}

bool Http1Connection::Respond(const Http1Exchange& exchange, Response response,
                              Exchange::DoneCallback later) {
  {
    ExchangeState ended;
    MutexLock lock(mutex_);
    if (IsCurrent(exchange) && state_.answer == Progress::kNone) {
      Answer(std::move(response), /*may_keep_alive=*/true);
      const uint64_t end = output_.added_bytes();
      Flush(ended);
      if (output_.sent_bytes() >= end) return true;
      if (!lost_) {
        if (later) output_.Mark(std::move(later));
        return false;
      }
    }
  }
  if (later) loop_->Post([later = std::move(later)]() mutable { later(Over()); });
  return false;
}

void Http1Connection::StartResponse(const Http1Exchange& exchange, int status,
                                    const Headers& headers) {
  ExchangeState ended;
  MutexLock lock(mutex_);
  if (!IsCurrent(exchange) || state_.answer != Progress::kNone) return;
  const RequestHead& head = exchange.head();
  state_.answer = Progress::kStreaming;
  state_.bodiless = IsBodiless(status, head.method);
  if (!state_.deadline_is_fixed) state_.deadline = kNever;
  state_.stream_left = ContentLength(headers);
  keep_alive_ = MayKeepAlive(headers);
  state_.chunked = !state_.stream_left.has_value() && !state_.bodiless && head.http_version >= 11;
  // An HTTP/1.0 peer knows the end of a body of no given length by the end of the connection.
  if (!state_.stream_left.has_value() && head.http_version < 11) keep_alive_ = false;
  QueueHead(status, headers, state_.chunked, state_.stream_left);
  Flush(ended);
}

void Http1Connection::Write(const Http1Exchange& exchange, std::string piece,
                            Exchange::DoneCallback done) {
  {
    ExchangeState ended;
    MutexLock lock(mutex_);
    if (IsCurrent(exchange) && state_.answer == Progress::kStreaming) {
      const size_t bytes = piece.size();
      if (bytes == 0 || state_.bodiless) {
        // Nothing to send: an empty chunk would end the body.
      } else if (state_.chunked) {
        QueueChunk(std::move(piece));
      } else if (state_.stream_left.has_value() && bytes > *state_.stream_left) {
        Cut();  // more than was announced
      } else {
        if (state_.stream_left.has_value()) *state_.stream_left -= bytes;
        output_.Add(std::move(piece));
      }
      if (done) output_.Mark(std::move(done));
      Flush(ended);
      return;
    }
  }
  if (done) loop_->Post([done = std::move(done)]() mutable { done(Over()); });
}

void Http1Connection::Finish(const Http1Exchange& exchange, const Headers& trailers) {
  ExchangeState ended;
  MutexLock lock(mutex_);
  if (!IsCurrent(exchange) || state_.answer != Progress::kStreaming) return;
  if (state_.stream_left.value_or(0) > 0 && !state_.bodiless) {
    Cut();  // fewer bytes than were announced
    return;
  }
  if (state_.chunked) QueueEnd(trailers);
  state_.answer = Progress::kComplete;
  Flush(ended);
}

void Http1Connection::OnCancel(const Http1Exchange& exchange,
                               absl::AnyInvocable<void()> cancelled) {
  {
    MutexLock lock(mutex_);
    if (IsCurrent(exchange) && state_.answer != Progress::kComplete) {
      std::swap(state_.cancelled, cancelled);
      if (peer_ended_ || lost_) Wake();
    }
  }
  // The one it replaced, if any, is destroyed here, without the mutex.
}

void Http1Connection::Drop(const Http1Exchange& exchange) {
  absl::AnyInvocable<void()> not_cancelled;
  ExchangeState ended;
  MutexLock lock(mutex_);
  if (!IsCurrent(exchange)) return;
  std::swap(not_cancelled, state_.cancelled);
  switch (state_.answer) {
    case Progress::kNone: {
      Answer(Render(500, "internal", "the request could not be answered"),
             /*may_keep_alive=*/true);
      state_.exchange = nullptr;
      Flush(ended);
      break;
    }
    case Progress::kStreaming:
      state_.exchange = nullptr;
      Cut();
      break;
    case Progress::kComplete:
      state_.exchange = nullptr;
      break;
  }
}

// ---- Any thread, with the mutex ----------------------------------------------------------------

void Http1Connection::Wake() {
  // A pump under way looks again before it ends. A closed connection has nothing left to do.
  if (pumping_ || woken_ || phase_ == Phase::kClosed) return;
  woken_ = true;
  loop_->Post([self = shared_from_this()] { self->Pump(); });
}

void Http1Connection::Refuse(const ParseError& why, const absl::Status& status, bool linger) {
  core_.CountRefusal(why.refusal);
  if (state_.active && state_.answer != Progress::kNone) {
    EndExchange(status);
    Cut();
    return;
  }
  Answer(Render(why.status, why.code, why.message), /*may_keep_alive=*/false);
  if (state_.active) EndExchange(status);
  phase_ = Phase::kLastWords;
  linger_ = linger;
  if (Send()) HangUp(/*input_is_used_up=*/!linger);
}

void Http1Connection::EndExchange(const absl::Status& status) {
  core_.requests_open.fetch_sub(1, std::memory_order_relaxed);
  if (lost_ || peer_ended_) core_.requests_abandoned.fetch_add(1, std::memory_order_relaxed);
  if (state_.reader) {
    due_.push_back([done = std::move(state_.reader), status]() mutable { done(status); });
  }
  for (Exchange::DoneCallback& done : output_.TakeAll()) {
    due_.push_back([done = std::move(done)]() mutable { done(Over()); });
  }
  if (state_.cancelled) due_.push_back(std::move(state_.cancelled));
  if (state_.exchange != nullptr) state_.exchange->SetOver();
  state_ = ExchangeState();
}

void Http1Connection::Cut() {
  lost_ = true;
  reset_ = true;
  output_.Clear();
  write_watch_.Reset();
  Wake();
}

void Http1Connection::HangUp(bool input_is_used_up) {
  transport_.ShutdownSend();
  if (input_is_used_up || peer_ended_) {
    phase_ = Phase::kClosing;
  } else {
    phase_ = Phase::kLinger;
    phase_deadline_ = core_.Now() + Nanos(std::min(kLinger, core_.options.stall_timeout));
    linger_left_ = kMaxLinger;
  }
  Wake();
}

void Http1Connection::Answer(Response response, bool may_keep_alive) {
  const bool has_length = !IsBodiless(response.status, "");
  const RequestHead* const head = state_.exchange == nullptr ? nullptr : &state_.exchange->head();
  state_.bodiless = !has_length || (head != nullptr && head->method == "HEAD");
  state_.chunked =
      !response.trailers.empty() && !state_.bodiless && head != nullptr && head->http_version >= 11;
  keep_alive_ = may_keep_alive && MayKeepAlive(response.headers);
  QueueHead(response.status, response.headers, state_.chunked,
            has_length ? std::optional<uint64_t>(response.body.size()) : std::nullopt);
  if (state_.chunked) {
    if (!response.body.empty()) QueueChunk(std::move(response.body));
    QueueEnd(response.trailers);
  } else if (!state_.bodiless) {
    output_.Add(std::move(response.body));
  }
  state_.answer = Progress::kComplete;
}

void Http1Connection::QueueChunk(std::string piece) {
  std::string line = fmt::format("{:x}\r\n", piece.size());
  if (piece.size() <= kSmallPiece) {
    line += piece;
    line += "\r\n";
    output_.Add(std::move(line));
  } else {
    output_.Add(std::move(line));
    output_.Add(std::move(piece));
    output_.Add("\r\n");
  }
}

void Http1Connection::QueueEnd(const Headers& trailers) {
  std::string end = "0\r\n";
  AppendTrailers(end, trailers);
  output_.Add(std::move(end));
}

void Http1Connection::QueueHead(int status, const Headers& headers, bool chunked,
                                std::optional<uint64_t> content_length) {
  ResponseFrame frame = {.keep_alive = keep_alive_,
                         .chunked = chunked,
                         .content_length = content_length,
                         .now = core_.options.clock->Now()};
  if (state_.exchange != nullptr) {
    frame.http_version = state_.exchange->head().http_version;
    frame.request_id = state_.exchange->head().request_id;
  }
  std::string head;
  AppendResponseHead(head, status, headers, frame);
  output_.Add(std::move(head));
}

void Http1Connection::Flush(ExchangeState& ended) {
  if (!Send()) return;
  if (phase_ == Phase::kExchange && state_.answer == Progress::kComplete) {
    AfterAnswer(ended);
  } else if (phase_ == Phase::kLastWords) {
    HangUp(/*input_is_used_up=*/!linger_);
  }
}

bool Http1Connection::Send() {
  if (lost_ || writing_) return false;
  const uint64_t before = output_.sent_bytes();
  const OutputQueue::Result result = output_.Send(transport_);
  core_.bytes_written.fetch_add(output_.sent_bytes() - before, std::memory_order_relaxed);
  if (output_.has_marks()) {
    for (Exchange::DoneCallback& done : output_.TakeDue()) {
      due_.push_back([done = std::move(done)]() mutable { done(absl::OkStatus()); });
      Wake();
    }
  }
  switch (result) {
    case OutputQueue::Result::kAllSent:
      write_watch_.Reset();
      return true;
    case OutputQueue::Result::kFull:
      ArmWrite();
      return false;
    case OutputQueue::Result::kBroken:
      lost_ = true;
      Wake();
      return false;
  }
  return false;
}

void Http1Connection::ArmWrite() {
  writing_ = true;
  write_watch_.Begin(core_.Now(), Nanos(core_.options.stall_timeout), output_.sent_bytes());
  transport_.WaitWritable([self = shared_from_this()](const boost::system::error_code& error) {
    self->OnWritable(error);
  });
}

void Http1Connection::AfterAnswer(ExchangeState& ended) {
  if (state_.reader) {  // answered without waiting for it
    due_.push_back([done = std::exchange(state_.reader, nullptr)]() mutable { done(Over()); });
    Wake();
  }
  if (state_.exchange != nullptr) state_.exchange->SetOver();
  ended = std::move(state_);
  state_ = ExchangeState();
  core_.requests_open.fetch_sub(1, std::memory_order_relaxed);
  served_ = true;
  if (!keep_alive_) {
    HangUp(/*input_is_used_up=*/ended.body.done() && input_.empty());
    return;
  }
  phase_ = Phase::kHead;
  head_begun_ = false;
  leftover_ = ended.body.left();
  const ServerOptions& options = core_.options;
  phase_deadline_ =
      core_.Now() + Nanos(leftover_ > 0 ? options.header_timeout : options.idle_timeout);
  if (core_.close_idle.load(std::memory_order_relaxed) && input_.empty()) phase_ = Phase::kClosing;
  if (phase_ == Phase::kClosing || !input_.empty() || peer_ended_) Wake();
}

bool Http1Connection::MayKeepAlive(const Headers& headers) const {
  if (!state_.active || !state_.keep_alive) return false;
  if (core_.draining.load(std::memory_order_relaxed)) return false;
  if (EqualsIgnoringCase(headers.Get("connection"), "close")) return false;
  if (state_.body.done()) return true;
  // What is left of the body would have to be read over. A peer that waits for 100-continue may
  // send it or not after any other answer, so that its next bytes could mean two things.
  if (state_.expects_continue && input_.empty()) return false;
  return state_.body.has_length() && state_.body.left() <= kMaxLeftover;
}

Response Http1Connection::Render(int status, std::string_view code,
                                 std::string_view message) const {
  const RequestHead* const head = state_.exchange == nullptr ? nullptr : &state_.exchange->head();
  return RenderError(core_, status, code, message, head);
}

}  // namespace slipway::http
