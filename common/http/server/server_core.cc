#include "common/http/server/server_core.h"

#include "common/http/server/request_id.h"

namespace slipway::http {

std::optional<Refusal> ConnectionCounts::Count(const std::string& address,
                                               const ServerOptions& options) {
  int& from_address = by_address_[address];
  if (from_address >= options.max_connections_per_address && address != kUnixPeer &&
      !options.trusted_proxies.Contain(address)) {
    return Refusal::kTooManyFromAddress;
  }
  ++from_address;
  return std::nullopt;
}

void ConnectionCounts::Forget(const std::string& address) {
  const auto found = by_address_.find(address);
  if (--found->second == 0) by_address_.erase(found);
}

std::optional<Refusal> ConnectionCounts::Admit(const std::string& address,
                                               const ServerOptions& options) {
  MutexLock lock(mutex_);
  if (open_ >= options.max_connections) return Refusal::kTooManyConnections;
  if (const auto refused = Count(address, options)) return refused;
  ++open_;
  return std::nullopt;
}

std::optional<Refusal> ConnectionCounts::Rename(const std::string& from, const std::string& to,
                                                const ServerOptions& options) {
  MutexLock lock(mutex_);
  if (const auto refused = Count(to, options)) return refused;
  Forget(from);
  return std::nullopt;
}

void ConnectionCounts::Release(const std::string& address) {
  MutexLock lock(mutex_);
  Forget(address);
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

Response RenderError(const ServerCore& core, int status, std::string_view code,
                     std::string_view message, const RequestHead* head) {
  const std::string fresh_id = head == nullptr ? NewRequestId() : std::string();
  const ServerError error = {.status = status,
                             .code = code,
                             .message = message,
                             .request_id = head == nullptr ? fresh_id : head->request_id,
                             .head = head};
  Response response = core.options.render_error(error);
  if (!response.headers.Has("x-request-id")) {
    response.headers.Add("x-request-id", error.request_id);
  }
  return response;
}

}  // namespace slipway::http
