#include "common/http/server/server_core.h"

namespace slipway::http {

std::optional<Refusal> ConnectionCounts::Admit(const std::string& address,
                                               const ServerOptions& options) {
  MutexLock lock(mutex_);
  if (open_ >= options.max_connections) return Refusal::kTooManyConnections;
  int& from_address = by_address_[address];
  if (from_address >= options.max_connections_per_address && address != kUnixPeer) {
    return Refusal::kTooManyFromAddress;
  }
  ++from_address;
  ++open_;
  return std::nullopt;
}

void ConnectionCounts::Release(const std::string& address) {
  MutexLock lock(mutex_);
  const auto found = by_address_.find(address);
  if (--found->second == 0) by_address_.erase(found);
  if (--open_ == 0) none_.SignalAll();
}

int ConnectionCounts::open() const {
  MutexLock lock(mutex_);
  return open_;
}

bool ConnectionCounts::WaitForNone(const Clock& clock, absl::Duration timeout) {
  const absl::Duration deadline = clock.Monotonic() + timeout;
  MutexLock lock(mutex_);
  while (open_ > 0) {
    const absl::Duration left = deadline - clock.Monotonic();
    if (left <= absl::ZeroDuration()) return false;
    none_.WaitFor(mutex_, absl::ToChronoNanoseconds(left));
  }
  return true;
}

}  // namespace slipway::http
