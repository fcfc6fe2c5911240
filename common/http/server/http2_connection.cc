#include "common/http/server/http2_connection.h"

#include <algorithm>
#include <array>
#include <utility>

#include "common/http/server/caller_address.h"
#include "common/http/server/http2_exchange.h"
#include "common/http/server/request_id.h"
#include "common/http/server/response_writer.h"
#include "fmt/format.h"

namespace slipway::http {
namespace {

// One read takes so much; a connection keeps no buffer of its own.
constexpr size_t kReadBytes = 64 << 10;
// And so many follow each other before other connections get their turn.
constexpr int kMaxReads = 4;
// What one ReadSome gives.
constexpr size_t kPieceBytes = 64 << 10;
// How much larger the memory of a body gets when it is full.
constexpr size_t kGrowth = 4;
// Frames are made until so much waits for the socket.
constexpr uint64_t kEnoughOutput = 256 << 10;
// How long and how much is thrown away after the last words.
constexpr absl::Duration kLinger = absl::Seconds(2);
constexpr size_t kMaxLinger = 8 << 20;
// Rounds of callbacks before other connections get their turn.
constexpr int kMaxRounds = 16;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// Made once: every stream ends with one of them.
const absl::Status& Over() {
  static const auto& status = *new absl::Status(absl::CancelledError("the exchange is over"));
  return status;
}
const absl::Status& PeerGone() {
  static const auto& status = *new absl::Status(absl::CancelledError("the peer went away"));
  return status;
}

}  // namespace

// Everything of a stream that the session does not know.
struct Http2Connection::Stream final : Http2Session::Stream {
  explicit Stream(int32_t id) : Http2Session::Stream(id) {}

  std::list<Stream>::iterator place;
  Http2Exchange* exchange = nullptr;  // null once its owners let go, or it is over
  bool active = false;                // the exchange is not over

  std::string incoming;                    // of the body, not handed over
  size_t taken = 0;                        // of that, by ReadSome
  uint64_t received = 0;                   // in all
  uint64_t unopened = 0;                   // came in, and the peer may not send as much again yet
  std::optional<uint64_t> content_length;  // as announced
  uint64_t body_limit = 0;
  bool expects_continue = false;
  Exchange::BodyCallback reader;  // a read that waits
  bool reader_wants_whole = false;

  Progress answer = Progress::kNone;
  bool bodiless = false;         // HEAD, 204, 304
  std::optional<uint64_t> left;  // of an announced Content-Length
  Exchange::DoneCallback sent;   // of Respond
  absl::AnyInvocable<void()> cancelled;

  int64_t deadline = 0;
  bool deadline_is_fixed = false;  // set by LimitTime
  int64_t pause = 0;               // how long a reader may wait for the next 4 KB
  ProgressWatch read_watch;
  ProgressWatch write_watch;
};

Http2Connection::Http2Connection(NewConnection opened)
    : loop_(std::move(opened.loop)),
      core_(loop_->core()),
      peer_(std::move(opened.peer)),
      from_proxy_(opened.from_proxy),
      transport_(std::move(opened.transport)),
      first_(std::move(opened.input)),
      session_({.header_bytes = core_.options.max_header_bytes,
                .streams = static_cast<uint32_t>(core_.options.max_streams),
                .stream_window = core_.options.stream_window},
               *this, output_),
      last_received_(core_.Now()),
      idle_deadline_(core_.options.idle_timeout == absl::InfiniteDuration() ? kNever
                                                                            : opened.deadline) {}

Http2Connection::~Http2Connection() = default;

// ---- The I/O thread ----------------------------------------------------------------------------

void Http2Connection::Start() {
  {
    MutexLock lock(mutex_);
    if (core_.draining.load(std::memory_order_relaxed)) session_.AnnounceEnd();
    Receive(first_.view());
    first_ = InputBuffer();
  }
  Pump();
}

void Http2Connection::OnReadable(const boost::system::error_code& error) {
  static thread_local std::array<char, kReadBytes> buffer;
  {
    MutexLock lock(mutex_);
    reading_ = false;
    if (phase_ == Phase::kClosed) return;
    // A full buffer is a part of something large.
    size_t bytes = buffer.size();
    for (int i = 0; i < kMaxReads && bytes == buffer.size(); ++i) {
      bytes = 0;
      switch (error ? Transport::Result::kBroken
                    : transport_.Read(buffer.data(), buffer.size(), bytes)) {
        case Transport::Result::kOk:
          core_.bytes_read.fetch_add(bytes, std::memory_order_relaxed);
          Receive({buffer.data(), bytes});
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

void Http2Connection::OnWritable(const boost::system::error_code& error) {
  {
    MutexLock lock(mutex_);
    writing_ = false;
    if (phase_ == Phase::kClosed) return;
    if (error) lost_ = true;
    Send();
  }
  Pump();
}

// Runs the callbacks that are due, and those that these make due. All run here, so that none runs
// inside a call of the user's. What they answer is sent at the end, together.
void Http2Connection::Pump() {
  for (int round = 0;; ++round) {
    {
      MutexLock lock(mutex_);
      if (round == 0) {
        woken_ = false;
        pumping_ = true;
      }
      Advance();
      if (due_.empty()) Send();
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

void Http2Connection::Receive(std::string_view bytes) {
  if (phase_ == Phase::kLinger) {
    linger_left_ -= std::min(bytes.size(), linger_left_);
    return;
  }
  if (phase_ != Phase::kOpen) return;
  const int64_t now = core_.Now();
  last_received_ = now;
  pinged_ = false;
  if (!session_.Receive(bytes, now)) {
    const Refusal why = *session_.refusal();
    core_.CountRefusal(why);
    End(RefusalName(why), /*calm_down=*/true);
    return;
  }
  if (const auto unfinished = session_.unfinished(); unfinished != unfinished_) {
    unfinished_ = unfinished;
    frame_deadline_ = now + Nanos(core_.options.header_timeout);
  }
}

void Http2Connection::Advance() {
  if (phase_ == Phase::kClosed) return;
  if (peer_ended_ && phase_ != Phase::kLinger) lost_ = true;
  if (lost_) {
    Close();
  } else if (phase_ == Phase::kLinger && (peer_ended_ || linger_left_ == 0)) {
    Close();
  }
}

void Http2Connection::ArmRead() {
  if (reading_ || peer_ended_ || lost_ || phase_ == Phase::kClosed) return;
  reading_ = true;
  transport_.WaitReadable([self = shared_from_this()](const boost::system::error_code& error) {
    self->OnReadable(error);
  });
}

void Http2Connection::Close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  EndExchanges(PeerGone());
  transport_.Close(reset_);
  output_.Clear();
  for (Exchange::DoneCallback& done : output_.TakeAll()) {
    due_.push_back([done = std::move(done)]() mutable { done(Over()); });
  }
  streams_.clear();
  core_.connections.Release(peer_);
  loop_->Remove(*this);
}

void Http2Connection::CheckDeadlines(int64_t now) {
  {
    MutexLock lock(mutex_);
    if (phase_ == Phase::kClosed) return;
    Check(now);
    Send();
    if (due_.empty() && !lost_) return;
  }
  Pump();
}

void Http2Connection::Check(int64_t now) {
  switch (phase_) {
    case Phase::kOpen:
      if (unfinished_.has_value() && now >= frame_deadline_) {
        core_.CountRefusal(Refusal::kHeaderTimeout);
        End(RefusalName(Refusal::kHeaderTimeout), /*calm_down=*/true);
      } else if (streams_.empty() && now >= idle_deadline_) {
        const Refusal why = served_ ? Refusal::kIdleTimeout : Refusal::kHeaderTimeout;
        core_.CountRefusal(why);
        End(RefusalName(why), /*calm_down=*/false);
      } else {
        for (Stream& stream : streams_) CheckStream(stream, now);
        CheckPeer(now);
      }
      break;
    case Phase::kLinger:
      if (now >= linger_deadline_) Close();
      break;
    case Phase::kLastWords:
    case Phase::kClosed:
      break;
  }
  if (write_watch_.HasStalled(now, Nanos(core_.options.stall_timeout), output_.sent_bytes())) {
    core_.CountRefusal(Refusal::kWriteTimeout);
    Cut();
  }
}

void Http2Connection::CheckStream(Stream& stream, int64_t now) {
  if (stream.active && stream.answer != Progress::kComplete) {
    if (now >= stream.deadline) {
      const bool coming_in = stream.reader && !stream.body_ended();
      Refuse(stream,
             ParseError{.status = coming_in ? 408 : 504,
                        .refusal = Refusal::kTotalTimeout,
                        .code = coming_in ? "request_timeout" : "deadline_exceeded",
                        .message = "the request took too long"},
             absl::DeadlineExceededError("the request took too long"));
    } else if (stream.read_watch.HasStalled(now, stream.pause, stream.received)) {
      stalled_ = true;
      Refuse(stream,
             ParseError{.status = 408,
                        .refusal = Refusal::kBodyTimeout,
                        .code = "request_timeout",
                        .message = "the request's body did not come in time"},
             absl::DeadlineExceededError("the request's body did not come in time"));
    }
  }
  const int64_t stall_timeout = Nanos(core_.options.stall_timeout);
  if (stream.pending() == 0 || writing_) {  // the socket is watched by itself
    stream.write_watch.Reset();
  } else if (!stream.write_watch.waiting()) {
    stream.write_watch.Begin(now, stall_timeout, stream.packed());
  } else if (stream.write_watch.HasStalled(now, stall_timeout, stream.packed())) {
    core_.CountRefusal(Refusal::kWriteTimeout);
    stalled_ = true;
    EndExchange(stream, PeerGone());
    session_.ResetStream(stream, Http2Session::Reset::kCancel);
    stream.write_watch.Reset();
  }
}

void Http2Connection::AnnounceEnd() {
  MutexLock lock(mutex_);
  if (phase_ != Phase::kOpen) return;
  session_.AnnounceEnd();
  Send();
}

void Http2Connection::CloseIfIdle() {
  MutexLock lock(mutex_);
  if (phase_ != Phase::kOpen) return;
  session_.GoAway("", /*calm_down=*/false);
  Send();
}

void Http2Connection::CheckPeer(int64_t now) {
  const ServerOptions& options = core_.options;
  const int64_t silent = now - last_received_ - Nanos(options.ping_interval);
  if (silent < 0) return;
  if (!std::exchange(pinged_, true)) {
    session_.Ping();
  } else if (silent >= Nanos(options.ping_timeout)) {
    core_.CountRefusal(Refusal::kPingTimeout);
    Cut();
  }
}

int Http2Connection::Abort() {
  int broken = 0;
  {
    MutexLock lock(mutex_);
    for (const Stream& stream : streams_) broken += stream.active ? 1 : 0;
    Cut();
  }
  Pump();
  return broken;
}

// ---- What the session tells, with the mutex ----------------------------------------------------

Http2Connection::Stream& Http2Connection::BeginStream(int32_t id) {
  served_ = true;
  Stream& stream = streams_.emplace_back(id);
  stream.place = std::prev(streams_.end());
  return stream;
}

Http2Session::Stream* Http2Connection::OnRequest(int32_t id, RequestHead head) {
  // A stream that was reset is gone from the protocol while its handler may still be at work: as
  // many again are borne, so that nobody makes work without end by resetting (CVE-2023-44487).
  if (exchanges_ >= 2 * core_.options.max_streams ||
      held_ + session_.pending() > core_.options.max_connection_bytes) {
    core_.CountRefusal(Refusal::kOverMemory);
    return nullptr;
  }
  Stream& stream = BeginStream(id);
  const int64_t now = core_.Now();
  head.peer_address =
      from_proxy_ ? CallerAddress(core_.options.trusted_proxies, peer_, head.headers) : peer_;
  head.request_id = NewRequestId();
  stream.active = true;
  stream.body_limit = core_.options.max_body_bytes;
  stream.content_length = ContentLength(head.headers);
  stream.expects_continue = head.headers.Has("expect");
  stream.pause = Nanos(core_.options.stall_timeout);
  stream.deadline = now + Nanos(core_.options.total_timeout);
  core_.requests_started.fetch_add(1, std::memory_order_relaxed);
  core_.requests_open.fetch_add(1, std::memory_order_relaxed);
  ++exchanges_;
  auto exchange = std::make_shared<Http2Exchange>(shared_from_this(), stream, std::move(head));
  stream.exchange = exchange.get();
  due_.push_back([exchange = std::move(exchange)]() mutable {
    Handler& handler = exchange->handler();
    handler.Handle(std::move(exchange));
  });
  return &stream;
}

Http2Session::Stream* Http2Connection::OnBadRequest(int32_t id, const ParseError& why) {
  core_.CountRefusal(why.refusal);
  Stream& stream = BeginStream(id);
  Answer(stream, Render(stream, why.status, why.code, why.message));
  return &stream;
}

void Http2Connection::OnBody(Http2Session::Stream& of, std::string_view piece) {
  Stream& stream = static_cast<Stream&>(of);
  if (!stream.active || stream.answer == Progress::kComplete) return;
  stream.expects_continue = false;  // it did not wait
  stream.received += piece.size();
  stream.unopened += piece.size();
  held_ += piece.size();
  // All that came before is copied when the memory grows: for a large body less often.
  const size_t size = stream.incoming.size() + piece.size();
  if (size > stream.incoming.capacity() && size > kPieceBytes && stream.reader_wants_whole) {
    stream.incoming.reserve(kGrowth * size);
  }
  stream.incoming.append(piece);
  ServeReader(stream);
}

void Http2Connection::OnBodyEnd(Http2Session::Stream& of) {
  Stream& stream = static_cast<Stream&>(of);
  stream.expects_continue = false;
  ServeReader(stream);
}

void Http2Connection::OnAnswered(Http2Session::Stream& of) {
  Stream& stream = static_cast<Stream&>(of);
  if (stream.sent) output_.Mark(std::move(stream.sent));
}

void Http2Connection::OnClose(Http2Session::Stream& of) {
  Stream& stream = static_cast<Stream&>(of);
  if (stream.active && !stream.answered()) {
    core_.requests_abandoned.fetch_add(1, std::memory_order_relaxed);
  }
  EndExchange(stream, stream.answered() ? Over() : PeerGone());
  streams_.erase(stream.place);
  if (!streams_.empty()) return;
  // A peer that stalled, and has nothing else under way, is not waited for any longer.
  const bool let_go = std::exchange(stalled_, false);
  idle_deadline_ = core_.Now() + (let_go ? 0 : Nanos(core_.options.idle_timeout));
}

// ---- Any thread: what an exchange asks for -----------------------------------------------------

void Http2Connection::LimitBody(const Http2Exchange& exchange, uint64_t bytes) {
  MutexLock lock(mutex_);
  if (exchange.stream_ != nullptr) exchange.stream_->body_limit = bytes;
}

void Http2Connection::LimitTime(const Http2Exchange& exchange, absl::Duration limit) {
  MutexLock lock(mutex_);
  Stream* const stream = exchange.stream_;
  if (stream == nullptr) return;
  stream->deadline = core_.Now() + Nanos(limit);
  stream->deadline_is_fixed = true;
}

void Http2Connection::LimitPause(const Http2Exchange& exchange, absl::Duration limit) {
  MutexLock lock(mutex_);
  Stream* const stream = exchange.stream_;
  if (stream == nullptr) return;
  stream->pause = Nanos(limit);
  const bool waiting = stream->read_watch.waiting();
  stream->read_watch.Reset();
  if (waiting) stream->read_watch.Begin(core_.Now(), stream->pause, stream->received);
}

void Http2Connection::Read(const Http2Exchange& exchange, bool whole, std::optional<uint64_t> limit,
                           Exchange::BodyCallback done) {
  absl::Status refused = Over();
  {
    MutexLock lock(mutex_);
    Stream* const stream = exchange.stream_;
    if (stream != nullptr && stream->answer != Progress::kComplete) {
      if (!stream->reader) {
        if (limit.has_value()) stream->body_limit = *limit;
        if (!whole && !stream->deadline_is_fixed && !stream->body_ended()) {
          stream->deadline = kNever;
        }
        stream->reader = std::move(done);
        stream->reader_wants_whole = whole;
        ServeReader(*stream);
        Flush();
        return;
      }
      refused = absl::FailedPreconditionError("a read of the body is under way");
    }
  }
  loop_->Post([done = std::move(done), refused = std::move(refused)]() mutable { done(refused); });
}

bool Http2Connection::Respond(const Http2Exchange& exchange, Response response,
                              Exchange::DoneCallback later) {
  {
    MutexLock lock(mutex_);
    Stream* stream = exchange.stream_;
    if (stream != nullptr && stream->answer == Progress::kNone) {
      Answer(*stream, std::move(response));
      Flush();
      stream = exchange.stream_;  // unless that was the end of it
      if (stream != nullptr && !stream->answered()) {
        stream->sent = std::move(later);
        return false;
      }
      if (!lost_) {
        if (output_.empty()) return true;
        if (later) output_.Mark(std::move(later));
        return false;
      }
    }
  }
  if (later) loop_->Post([later = std::move(later)]() mutable { later(Over()); });
  return false;
}

void Http2Connection::StartResponse(const Http2Exchange& exchange, int status,
                                    const Headers& headers) {
  MutexLock lock(mutex_);
  Stream* const stream = exchange.stream_;
  if (stream == nullptr || stream->answer != Progress::kNone) return;
  stream->answer = Progress::kStreaming;
  stream->bodiless = IsBodiless(status, exchange.head().method);
  stream->left = ContentLength(headers);
  if (!stream->deadline_is_fixed) stream->deadline = kNever;
  SendHead(*stream, status, headers, stream->left, /*ends=*/stream->bodiless);
  Flush();
}

void Http2Connection::Write(const Http2Exchange& exchange, std::string piece,
                            Exchange::DoneCallback done) {
  {
    MutexLock lock(mutex_);
    Stream* const stream = exchange.stream_;
    if (stream != nullptr && stream->answer == Progress::kStreaming) {
      const size_t bytes = piece.size();
      if (bytes == 0 || stream->bodiless) {
        if (done) output_.Mark(std::move(done));
      } else if (stream->left.has_value() && bytes > *stream->left) {
        if (done) output_.Mark(std::move(done));
        CutStream(*stream);  // more than was announced
      } else {
        if (stream->left.has_value()) *stream->left -= bytes;
        session_.AddPiece(*stream, std::move(piece), std::move(done));
      }
      Flush();
      return;
    }
  }
  if (done) loop_->Post([done = std::move(done)]() mutable { done(Over()); });
}

void Http2Connection::Finish(const Http2Exchange& exchange, const Headers& trailers) {
  MutexLock lock(mutex_);
  Stream* const stream = exchange.stream_;
  if (stream == nullptr || stream->answer != Progress::kStreaming) return;
  if (stream->left.value_or(0) > 0 && !stream->bodiless) {
    CutStream(*stream);  // fewer bytes than were announced
  } else {
    stream->answer = Progress::kComplete;
    if (!stream->bodiless) session_.EndAnswer(*stream, trailers);
  }
  Flush();
}

void Http2Connection::OnCancel(const Http2Exchange& exchange,
                               absl::AnyInvocable<void()> cancelled) {
  {
    MutexLock lock(mutex_);
    Stream* const stream = exchange.stream_;
    if (stream != nullptr && stream->answer != Progress::kComplete) {
      std::swap(stream->cancelled, cancelled);
    }
  }
  // The one it replaced, if any, is destroyed here, without the mutex.
}

void Http2Connection::Drop(Http2Exchange& exchange) {
  absl::AnyInvocable<void()> not_cancelled;
  MutexLock lock(mutex_);
  --exchanges_;
  Stream* const stream = exchange.stream_;
  if (stream == nullptr) return;
  std::swap(not_cancelled, stream->cancelled);
  switch (stream->answer) {
    case Progress::kNone:
      Answer(*stream, Render(*stream, 500, "internal", "the request could not be answered"));
      break;
    case Progress::kStreaming:
      CutStream(*stream);
      break;
    case Progress::kComplete:
      break;
  }
  stream->exchange = nullptr;
  Flush();
}

// ---- Any thread, with the mutex ----------------------------------------------------------------

void Http2Connection::Wake() {
  // A pump under way looks again before it ends. A closed connection has callbacks at most.
  if (pumping_ || woken_) return;
  woken_ = true;
  loop_->Post([self = shared_from_this()] { self->Pump(); });
}

void Http2Connection::ServeReader(Stream& stream) {
  if (!stream.reader || stream.answer == Progress::kComplete) return;
  if (std::max(stream.received, stream.content_length.value_or(0)) > stream.body_limit) {
    RefuseBody(stream);
  } else if (stream.reader_wants_whole) {
    if (!stream.body_ended()) return WaitForBody(stream);
    Deliver(stream, std::exchange(stream.incoming, {}));
  } else if (stream.taken < stream.incoming.size()) {
    std::string piece;
    if (stream.taken == 0 && stream.incoming.size() <= kPieceBytes) {
      piece = std::exchange(stream.incoming, {});
    } else {
      piece = stream.incoming.substr(stream.taken, kPieceBytes);
      stream.taken += piece.size();
      if (stream.taken == stream.incoming.size()) {
        stream.incoming.clear();
        stream.taken = 0;
      }
    }
    stream.unopened -= piece.size();
    session_.Consume(stream, piece.size());
    Deliver(stream, std::move(piece));
  } else if (stream.body_ended()) {
    Deliver(stream, {});
  } else {
    WaitForBody(stream);
  }
}

void Http2Connection::Deliver(Stream& stream, std::string bytes) {
  if (stream.body_ended() && stream.incoming.empty()) {
    stream.read_watch.Reset();
    if (!stream.reader_wants_whole && bytes.empty() && !stream.deadline_is_fixed &&
        stream.answer == Progress::kNone) {
      stream.deadline = core_.Now() + Nanos(core_.options.total_timeout);
    }
  } else if (stream.read_watch.waiting()) {
    stream.read_watch.End(core_.Now(), stream.received);
  }
  const uint64_t released = bytes.size();
  due_.push_back([reader = std::exchange(stream.reader, nullptr),
                  bytes = std::move(bytes)]() mutable { reader(std::move(bytes)); });
  Wake();
  Release(released);
}

void Http2Connection::WaitForBody(Stream& stream) {
  if (std::exchange(stream.expects_continue, false)) session_.Continue(stream);
  if (stream.reader_wants_whole) {
    // No memory is set aside by an announced length: of that there may be one a stream.
    const auto is_whole = [](const Stream& other) {
      return other.reader && other.reader_wants_whole;
    };
    // Of the bodies that are read whole the oldest always goes on, so that some end.
    if (held_ > core_.options.max_connection_bytes &&
        &*std::find_if(streams_.begin(), streams_.end(), is_whole) != &stream) {
      bodies_wait_ = true;
      stream.read_watch.Reset();
      return;
    }
    session_.Consume(stream, std::exchange(stream.unopened, 0));
  }
  stream.read_watch.Begin(core_.Now(), stream.pause, stream.received);
}

void Http2Connection::Release(uint64_t bytes) {
  held_ -= bytes;
  if (!std::exchange(bodies_wait_, false)) return;
  for (Stream& stream : streams_) {
    if (stream.reader && stream.reader_wants_whole && !stream.body_ended()) WaitForBody(stream);
  }
}

void Http2Connection::RefuseBody(Stream& stream) {
  const std::string message =
      fmt::format("the request's body is over the limit of {} bytes", stream.body_limit);
  Refuse(stream,
         ParseError{.status = 413,
                    .refusal = Refusal::kBodyTooLarge,
                    .code = "body_too_large",
                    .message = message},
         TooLarge("the request's body", stream.body_limit));
}

void Http2Connection::Refuse(Stream& stream, const ParseError& why, const absl::Status& status) {
  core_.CountRefusal(why.refusal);
  if (stream.answer == Progress::kNone) {
    Answer(stream, Render(stream, why.status, why.code, why.message));
  } else {
    session_.ResetStream(stream, Http2Session::Reset::kCancel);
  }
  EndExchange(stream, status);
}

void Http2Connection::CutStream(Stream& stream) {
  session_.ResetStream(stream, Http2Session::Reset::kInternalError);
  EndExchange(stream, Over());
}

void Http2Connection::EndExchange(Stream& stream, const absl::Status& status) {
  if (Http2Exchange* const exchange = std::exchange(stream.exchange, nullptr)) {
    exchange->stream_ = nullptr;
    exchange->SetOver();
  }
  if (stream.reader) {
    due_.push_back(
        [reader = std::exchange(stream.reader, nullptr), status]() mutable { reader(status); });
  }
  std::vector<Exchange::DoneCallback> unsent = session_.TakeCallbacks(stream);
  if (stream.sent) unsent.push_back(std::exchange(stream.sent, nullptr));
  for (Exchange::DoneCallback& done : unsent) {
    due_.push_back([done = std::move(done)]() mutable { done(Over()); });
  }
  if (stream.cancelled) {
    if (stream.answered()) {
      // To be destroyed without the mutex: it may own the exchange.
      due_.push_back([unwanted = std::exchange(stream.cancelled, nullptr)]() {});
    } else {
      due_.push_back(std::exchange(stream.cancelled, nullptr));
    }
  }
  const uint64_t held = stream.incoming.size() - stream.taken;
  stream.incoming = std::string();
  stream.taken = 0;
  if (std::exchange(stream.active, false)) {
    core_.requests_open.fetch_sub(1, std::memory_order_relaxed);
  }
  if (!due_.empty()) Wake();
  Release(held);
}

void Http2Connection::EndExchanges(const absl::Status& status) {
  for (Stream& stream : streams_) {
    if (stream.active && !stream.answered()) {
      core_.requests_abandoned.fetch_add(1, std::memory_order_relaxed);
    }
    EndExchange(stream, status);
  }
}

void Http2Connection::Answer(Stream& stream, Response response) {
  const RequestHead* const head = stream.exchange == nullptr ? nullptr : &stream.exchange->head();
  const bool has_length = !IsBodiless(response.status, "");
  const bool bodiless = !has_length || (head != nullptr && head->method == "HEAD");
  const bool has_trailers = !response.trailers.empty() && !bodiless;
  const bool ends = bodiless || (response.body.empty() && !has_trailers);
  // An empty answer is known as such by its end.
  const bool tell_length = has_length && !has_trailers && !response.body.empty();
  stream.answer = Progress::kComplete;
  SendHead(stream, response.status, response.headers,
           tell_length ? std::optional<uint64_t>(response.body.size()) : std::nullopt, ends);
  if (ends) return;
  if (!response.body.empty()) session_.AddPiece(stream, std::move(response.body), nullptr);
  session_.EndAnswer(stream, std::move(response.trailers));
}

void Http2Connection::SendHead(Stream& stream, int status, const Headers& headers,
                               std::optional<uint64_t> content_length, bool ends) {
  session_.StartAnswer(
      stream,
      {.status = status,
       .headers = headers,
       .request_id =
           stream.exchange == nullptr ? std::string_view() : stream.exchange->head().request_id,
       .date = HttpDate(core_.options.clock->Now()),
       .content_length = content_length},
      ends);
}

Response Http2Connection::Render(const Stream& stream, int status, std::string_view code,
                                 std::string_view message) const {
  const RequestHead* const head = stream.exchange == nullptr ? nullptr : &stream.exchange->head();
  return RenderError(core_, status, code, message, head);
}

void Http2Connection::Flush() {
  if (pumping_) return;
  if (HeldWrites* const held = HeldWrites::OfThread()) {
    held->Add(shared_from_this());
  } else {
    Send();
  }
}

void Http2Connection::SendHeld() {
  MutexLock lock(mutex_);
  Flush();
}

void Http2Connection::Send() {
  if (lost_ || writing_ || phase_ == Phase::kLinger || phase_ == Phase::kClosed) return;
  for (bool more = true; more;) {
    session_.Send(kEnoughOutput);
    more = output_.size() >= kEnoughOutput;
    const uint64_t before = output_.sent_bytes();
    const OutputQueue::Result result = output_.Send(transport_);
    core_.bytes_written.fetch_add(output_.sent_bytes() - before, std::memory_order_relaxed);
    if (output_.has_marks()) {
      for (Exchange::DoneCallback& done : output_.TakeDue()) {
        due_.push_back([done = std::move(done)]() mutable { done(absl::OkStatus()); });
      }
    }
    if (!due_.empty()) Wake();
    switch (result) {
      case OutputQueue::Result::kAllSent:
        write_watch_.Reset();
        break;
      case OutputQueue::Result::kFull:
        writing_ = true;
        write_watch_.Begin(core_.Now(), Nanos(core_.options.stall_timeout), output_.sent_bytes());
        transport_.WaitWritable(
            [self = shared_from_this()](const boost::system::error_code& error) {
              self->OnWritable(error);
            });
        return;
      case OutputQueue::Result::kBroken:
        lost_ = true;
        Wake();
        return;
    }
  }
  if (phase_ == Phase::kLastWords || session_.ended()) HangUp();
}

void Http2Connection::End(std::string_view why, bool calm_down) {
  phase_ = Phase::kLastWords;
  session_.GoAway(why, calm_down);
  EndExchanges(PeerGone());
}

void Http2Connection::HangUp() {
  transport_.ShutdownSend();
  phase_ = Phase::kLinger;
  linger_deadline_ = core_.Now() + Nanos(std::min(kLinger, core_.options.stall_timeout));
  linger_left_ = kMaxLinger;
  if (peer_ended_) Wake();
}

void Http2Connection::Cut() {
  lost_ = true;
  reset_ = true;
  output_.Clear();
  Wake();
}

}  // namespace slipway::http
