#ifndef SLIPWAY_SERVICES_GATEWAY_CORS_H_
#define SLIPWAY_SERVICES_GATEWAY_CORS_H_

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/message.h"
#include "common/http/server/server.h"
#include "common/status/status.h"

namespace slipway::gateway {

/// Which web pages' scripts may call the gateway (Fetch Standard, "CORS protocol"). Keys travel in
/// headers that a script sets; cookies mean nothing here, so that credentials are never allowed.
/// Immutable; any thread.
class Cors {
 public:
  /// Allows none.
  Cors() = default;

  /// "https://app.example.com" as browsers write it, without a path; or "*" alone for all. Errors:
  /// InvalidField of `field`.
  static absl::StatusOr<Cors> Parse(const std::vector<std::string>& origins,
                                    std::string_view field);

  /// Whether a request is from a page and pages may be allowed: its answer then tells.
  bool Concerns(const http::RequestHead& head) const {
    return (any_ || !origins_.empty()) && head.headers.Has("origin");
  }

  /// Whether a browser asks for a page's script whether it may send a request; it has no key.
  bool IsPreflight(const http::RequestHead& head) const {
    return head.method == "OPTIONS" && Concerns(head) &&
           head.headers.Has("access-control-request-method");
  }
  /// What AddTo says is still to be added.
  http::Response AnswerPreflight(const http::RequestHead& head) const;

  /// Says in an answer to `head`, which it concerns, whether the page may read it.
  void AddTo(const http::RequestHead& head, http::Headers& answer) const;

 private:
  bool Allows(const http::RequestHead& head) const;

  bool any_ = false;
  std::set<std::string, std::less<>> origins_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_CORS_H_
