#include "common/http/channel/lane.h"

#include <algorithm>
#include <chrono>

#include "common/log/log.h"
#include "fmt/format.h"

namespace slipway::http::grpc {
namespace {

constexpr absl::Duration kForever = absl::Hours(24 * 365);

absl::Status Expired() { return absl::DeadlineExceededError("the deadline has passed"); }
absl::Status Closed() { return absl::CancelledError("the channel was closed"); }

// As grpc-timeout has it: at most 8 digits and a unit.
std::string Timeout(int64_t nanoseconds) {
  const int64_t micros = std::max<int64_t>(1, nanoseconds / 1000);
  if (micros < 100'000'000) return fmt::format("{}u", micros);
  if (micros / 1000 < 100'000'000) return fmt::format("{}m", micros / 1000);
  return fmt::format("{}S", micros / 1'000'000);
}

}  // namespace

struct Lane::LaneCall final : ClientCall,
                              ClientSession::Stream,
                              std::enable_shared_from_this<LaneCall> {
  LaneCall(std::shared_ptr<Lane> of, Channel::Request request, Channel::Done to_do)
      : Stream(std::move(request.message), of->options_.max_message_bytes),
        lane(std::move(of)),
        method(request.method),
        metadata(std::move(request.metadata)),
        done(std::move(to_do)) {
    const absl::Duration left = request.deadline - lane->options_.clock->Now();
    if (left < kForever) expires = lane->Now() + absl::ToInt64Nanoseconds(left);
  }

  void Cancel() override {
    lane->loop_->Post([self = shared_from_this()] {
      self->lane->Drop(*self, absl::CancelledError("the call was cancelled"));
      self->lane->RunDue();
    });
  }

  const std::shared_ptr<Lane> lane;
  const std::string method;
  const Headers metadata;
  Channel::Done done;  // null once it has ended
  int64_t expires = kNever;
  ClientConnection* connection = nullptr;  // null while it waits
};

Lane::Lane(std::shared_ptr<Channel::Shared> channel, std::shared_ptr<IoLoop> loop,
           std::unique_ptr<ClientTls> tls)
    : channel_(std::move(channel)),
      options_(channel_->options),
      loop_(std::move(loop)),
      tls_(std::move(tls)),
      backoff_(options_.min_backoff),
      timer_(loop_->context()) {}

int64_t Lane::Now() const { return absl::ToInt64Nanoseconds(options_.clock->Monotonic()); }

void Lane::Open() {
  loop_->Post([self = shared_from_this()] {
    if (!self->closed_) self->Dial();
  });
}

void Lane::Close() {
  loop_->Post([self = shared_from_this()] { self->CloseNow(); });
}

void Lane::CloseNow() {
  closed_ = true;
  timer_.cancel();
  if (dialer_ != nullptr) std::exchange(dialer_, nullptr)->Stop();
  if (connection_ != nullptr) leaving_.push_back(std::move(connection_));
  for (const auto& connection : leaving_) {
    connection->Close();
    for (const auto& stream : connection->session().streams()) {
      End(static_cast<LaneCall&>(*stream), {.status = Closed()});
    }
  }
  leaving_.clear();
  for (const auto& call : waiting_) End(*call, {.status = Closed()});
  waiting_.clear();
  RunDue();
}

// ---- Calls -------------------------------------------------------------------------------------

std::shared_ptr<ClientCall> Lane::Start(Channel::Request request, Channel::Done done) {
  auto call = std::make_shared<LaneCall>(shared_from_this(), std::move(request), std::move(done));
  if (IoLoop::Current() == loop_.get()) {
    Take(call);
  } else {
    loop_->Post([call] { call->lane->Take(call); });
  }
  return call;
}

void Lane::Take(std::shared_ptr<LaneCall> call) {
  absl::Status refused;
  if (closed_) {
    refused = Closed();
  } else if (call->message_bytes() > options_.max_message_bytes) {
    refused = TooLarge("the request", options_.max_message_bytes);
  } else if (call->expires != kNever && call->expires <= Now()) {
    refused = Expired();
  }
  if (!refused.ok()) {
    End(*call, {.status = std::move(refused)});
    loop_->Post([self = shared_from_this()] { self->RunDue(); });
    return;
  }
  WakeAt(call->expires);
  waiting_.push_back(std::move(call));
  BeginWaiting();
}

void Lane::BeginWaiting() {
  while (!waiting_.empty()) {
    if (connection_ == nullptr) return Dial();
    if (!ready_ || !connection_->session().HasRoom()) return;
    std::shared_ptr<LaneCall> call = std::move(waiting_.front());
    waiting_.pop_front();
    Begin(std::move(call));
  }
}

void Lane::Begin(std::shared_ptr<LaneCall> call) {
  LaneCall& begun = *call;
  begun.connection = connection_.get();
  ClientSession& session = connection_->session();
  session.Begin(std::move(call),
                {.method = begun.method,
                 .metadata = begun.metadata,
                 .timeout = begun.expires == kNever ? "" : Timeout(begun.expires - Now())});
  connection_->Flush();
  if (session.begun() == options_.max_calls_per_connection) {
    session.GoAway();
    Retire();
  }
}

void Lane::Drop(LaneCall& call, absl::Status why) {
  if (!call.done) return;
  if (call.connection != nullptr) {
    call.connection->session().Cancel(call);
    call.connection->Flush();
  } else {
    std::erase_if(waiting_, [&](const auto& waiting) { return waiting.get() == &call; });
  }
  End(call, {.status = std::move(why)});
}

void Lane::End(LaneCall& call, Outcome outcome) {
  if (call.done) due_.emplace_back(std::exchange(call.done, nullptr), std::move(outcome));
}

void Lane::OnEnd(ClientSession::Stream& stream, Outcome outcome) {
  End(static_cast<LaneCall&>(stream), std::move(outcome));
}

void Lane::OnTurn() {
  if (pinged_ && connection_->reads() != reads_then_) HeardFrom();
  BeginWaiting();
  RunDue();
}

void Lane::RunDue() {
  while (!due_.empty()) {
    std::vector<std::pair<Channel::Done, Outcome>> due = std::exchange(due_, {});
    for (auto& [done, outcome] : due) done(std::move(outcome));
  }
}

// ---- Connections -------------------------------------------------------------------------------

void Lane::Dial() {
  if (dialer_ != nullptr || connection_ != nullptr) return;
  next_attempt_ = kNever;
  attempt_ends_ = Now() + absl::ToInt64Nanoseconds(options_.connect_timeout);
  WakeAt(attempt_ends_);
  if (tls_ != nullptr) {
    if (const absl::Status read = tls_->Refresh(); !read.ok()) {
      Log(Severity::kWarning, "tls_files_not_used", {{"error", read}});
    }
  }
  dialer_ = std::make_shared<Dialer>(
      *loop_, options_, tls_.get(),
      [this](absl::StatusOr<Transport> transport) { OnDialled(std::move(transport)); });
  dialer_->Start();
}

void Lane::OnDialled(absl::StatusOr<Transport> transport) {
  ClientConnection::Owner& self = *this;
  dialer_ = nullptr;
  if (!transport.ok()) {
    FailAttempt(transport.status());
    return RunDue();
  }
  connection_ = std::make_shared<ClientConnection>(
      *loop_, *std::move(transport), tls_ != nullptr,
      options_.unix_path.empty() ? fmt::format("{}:{}", options_.host, options_.port) : "localhost",
      self);
  connection_->Start();
}

void Lane::OnReady() {
  ready_ = true;
  attempt_ends_ = kNever;
  backoff_ = options_.min_backoff;
  channel_->reachable.store(true, std::memory_order_relaxed);
  HeardFrom();
}

void Lane::FailAttempt(const absl::Status& why) {
  channel_->reachable.store(false, std::memory_order_relaxed);
  attempt_ends_ = kNever;
  next_attempt_ = Now() + absl::ToInt64Nanoseconds(backoff_);
  WakeAt(next_attempt_);
  backoff_ = std::min(2 * backoff_, options_.max_backoff);
  for (const auto& call : std::exchange(waiting_, {})) {
    End(*call, {.status = why, .never_sent = true});
  }
}

void Lane::Retire() {
  const bool used = connection_->session().begun() > 0;
  leaving_.push_back(std::move(connection_));
  ready_ = false;
  pinged_ = false;
  next_check_ = kNever;
  if (used) {
    // Not at once: a server that is about to stop says so just before.
    next_attempt_ = Now() + absl::ToInt64Nanoseconds(options_.min_backoff);
    WakeAt(next_attempt_);
  } else {
    FailAttempt(absl::UnavailableError("the server takes no calls"));
  }
}

void Lane::OnLost(ClientConnection& connection, const absl::Status& why) {
  const ClientSession& session = connection.session();
  for (const auto& stream : session.streams()) {
    const bool seen = session.MayHaveSeen(*stream);
    End(static_cast<LaneCall&>(*stream),
        {.status = seen ? why : absl::UnavailableError(why.message()), .never_sent = !seen});
  }
  if (&connection != connection_.get()) {
    std::erase_if(leaving_, [&](const auto& one) { return one.get() == &connection; });
  } else if (ready_) {
    Retire();
    leaving_.pop_back();
  } else {
    connection_ = nullptr;
    FailAttempt(why);
  }
  OnTurn();
}

// ---- Time --------------------------------------------------------------------------------------

void Lane::WakeAt(int64_t time) {
  if (time >= wake_at_ || closed_) return;
  wake_at_ = time;
  timer_.expires_after(std::chrono::nanoseconds(std::max<int64_t>(0, time - Now())));
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (!error && !self->closed_) self->OnTimer();
  });
}

void Lane::OnTimer() {
  wake_at_ = kNever;
  const int64_t now = Now();
  if (now >= attempt_ends_) {
    if (dialer_ != nullptr) std::exchange(dialer_, nullptr)->Stop();
    if (connection_ != nullptr) std::exchange(connection_, nullptr)->Close();
    FailAttempt(absl::UnavailableError("cannot connect: it takes too long"));
  }
  if (now >= next_attempt_) Dial();
  const int64_t next_deadline = CheckDeadlines(now);
  CheckAlive(now);
  WakeAt(std::min({next_deadline, next_check_, attempt_ends_, next_attempt_}));
  RunDue();
}

int64_t Lane::CheckDeadlines(int64_t now) {
  std::vector<std::shared_ptr<LaneCall>> expired;
  int64_t next = kNever;
  const auto check = [&](LaneCall& call) {
    if (!call.done) return;
    if (call.expires <= now) {
      expired.push_back(call.shared_from_this());
    } else {
      next = std::min(next, call.expires);
    }
  };
  const auto check_all = [&](ClientConnection& connection) {
    for (const auto& stream : connection.session().streams())
      check(static_cast<LaneCall&>(*stream));
  };
  for (const auto& call : waiting_) check(*call);
  for (const auto& connection : leaving_) check_all(*connection);
  if (connection_ != nullptr) check_all(*connection_);
  for (const auto& call : expired) Drop(*call, Expired());
  return next;
}

void Lane::HeardFrom() {
  reads_then_ = connection_->reads();
  pinged_ = false;
  next_check_ = Now() + absl::ToInt64Nanoseconds(options_.keepalive_interval);
  WakeAt(next_check_);
}

void Lane::CheckAlive(int64_t now) {
  if (now < next_check_) return;
  if (connection_->reads() != reads_then_ || connection_->session().streams().empty()) {
    HeardFrom();
  } else if (!pinged_) {
    connection_->session().Ping();
    connection_->Flush();
    pinged_ = true;
    next_check_ = now + absl::ToInt64Nanoseconds(options_.keepalive_timeout);
  } else {
    const auto silent = connection_;
    silent->Close();
    OnLost(*silent, absl::UnavailableError("the server does not answer"));
  }
}

}  // namespace slipway::http::grpc
