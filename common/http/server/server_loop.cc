#include "common/http/server/server_loop.h"

#include <algorithm>

namespace slipway::http {
namespace {

// Deadlines are looked at this often: a quarter of the shortest, and not in a hurry beyond it.
std::chrono::nanoseconds SweepPeriod(const ServerOptions& options) {
  const absl::Duration shortest =
      std::min({options.header_timeout, options.stall_timeout, options.idle_timeout,
                options.total_timeout, options.ping_interval, options.ping_timeout});
  return absl::ToChronoNanoseconds(
      std::clamp(shortest / 4, absl::Milliseconds(2), absl::Milliseconds(250)));
}

}  // namespace

ServerLoop::ServerLoop(std::shared_ptr<ServerCore> core, std::shared_ptr<IoLoop> io)
    : core_(std::move(core)),
      io_(std::move(io)),
      sweep_period_(SweepPeriod(core_->options)),
      sweep_timer_(io_->context()) {}

void ServerLoop::Add(const std::shared_ptr<Connection>& connection) {
  connection->place_ = connections_.insert(connections_.end(), connection);
  ArmSweep();
}

void ServerLoop::Remove(Connection& connection) { connections_.erase(connection.place_); }

template <typename Visit>
void ServerLoop::ForEach(Visit visit) {
  for (auto at = connections_.begin(); at != connections_.end();) {
    const std::shared_ptr<Connection> connection = *at++;  // it may remove itself
    visit(*connection);
  }
}

void ServerLoop::AnnounceEnd() {
  ForEach([](Connection& connection) { connection.AnnounceEnd(); });
}

void ServerLoop::CloseIdle() {
  ForEach([](Connection& connection) { connection.CloseIfIdle(); });
}

int ServerLoop::Abort() {
  int broken = 0;
  ForEach([&](Connection& connection) { broken += connection.Abort(); });
  return broken;
}

void ServerLoop::Stop() {
  Abort();
  sweep_timer_.cancel();
}

void ServerLoop::ArmSweep() {
  if (sweeping_) return;
  sweeping_ = true;
  sweep_timer_.expires_after(sweep_period_);
  sweep_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    self->sweeping_ = false;
    if (!error) self->Sweep();
  });
}

void ServerLoop::Sweep() {
  const int64_t now = core_->Now();
  ForEach([&](Connection& connection) { connection.CheckDeadlines(now); });
  if (!connections_.empty()) ArmSweep();
}

}  // namespace slipway::http
