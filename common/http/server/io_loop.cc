#include "common/http/server/io_loop.h"

#include <algorithm>

namespace slipway::http {
namespace {

thread_local bool on_io_thread = false;

// Deadlines are looked at this often: a quarter of the shortest, and not in a hurry beyond it.
std::chrono::nanoseconds SweepPeriod(const ServerOptions& options) {
  const absl::Duration shortest = std::min(
      {options.header_timeout, options.stall_timeout, options.idle_timeout, options.total_timeout});
  return absl::ToChronoNanoseconds(
      std::clamp(shortest / 4, absl::Milliseconds(2), absl::Milliseconds(250)));
}

}  // namespace

IoLoop::IoLoop(std::shared_ptr<ServerCore> core)
    : core_(std::move(core)),
      sweep_period_(SweepPeriod(core_->options)),
      work_(boost::asio::make_work_guard(context_)),
      sweep_timer_(context_) {}

IoLoop::~IoLoop() = default;

bool IoLoop::OnIoThread() { return on_io_thread; }

void IoLoop::Start() {
  thread_ = std::jthread([this] {
    on_io_thread = true;
    context_.run();
  });
}

void IoLoop::Stop() {
  Post([this] {
    Abort();
    sweep_timer_.cancel();
    work_.reset();
  });
  if (thread_.joinable()) thread_.join();
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  // What was posted while the thread was on its way out.
  context_.restart();
  context_.poll();
}

void IoLoop::Add(const std::shared_ptr<Connection>& connection) {
  connection->place_ = connections_.insert(connections_.end(), connection);
  ArmSweep();
}

void IoLoop::Remove(Connection& connection) { connections_.erase(connection.place_); }

template <typename Visit>
void IoLoop::ForEach(Visit visit) {
  for (auto at = connections_.begin(); at != connections_.end();) {
    const std::shared_ptr<Connection> connection = *at++;  // it may remove itself
    visit(*connection);
  }
}

void IoLoop::AnnounceEnd() {
  ForEach([](Connection& connection) { connection.AnnounceEnd(); });
}

void IoLoop::CloseIdle() {
  ForEach([](Connection& connection) { connection.CloseIfIdle(); });
}

int IoLoop::Abort() {
  int broken = 0;
  ForEach([&](Connection& connection) { broken += connection.Abort(); });
  return broken;
}

void IoLoop::ArmSweep() {
  if (sweeping_) return;
  sweeping_ = true;
  sweep_timer_.expires_after(sweep_period_);
  sweep_timer_.async_wait([this](const boost::system::error_code& error) {
    sweeping_ = false;
    if (!error) Sweep();
  });
}

void IoLoop::Sweep() {
  const int64_t now = core_->Now();
  ForEach([&](Connection& connection) { connection.CheckDeadlines(now); });
  if (!connections_.empty()) ArmSweep();
}

}  // namespace slipway::http
