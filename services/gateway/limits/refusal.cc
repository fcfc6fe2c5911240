#include "services/gateway/limits/refusal.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "common/http/status_headers.h"
#include "fmt/format.h"

namespace slipway::gateway {
namespace {

// Holds the quantity's name.
constexpr char kLimit[] = "slipway/limit";
// What SDKs wait for at most.
constexpr absl::Duration kLongestWait = absl::Seconds(60);

std::string Describe(std::string_view subject, const Account::Refusal& refusal) {
  switch (refusal.quantity) {
    case Quantity::kRequests:
      return fmt::format("{} may make {} requests a minute", subject, refusal.limit);
    case Quantity::kTokens:
      return fmt::format("{} may use {} tokens or rows a minute; this call asks for {}", subject,
                         refusal.limit, refusal.asked);
    case Quantity::kConcurrency:
      return fmt::format("{} may have {} predictions under way at once", subject, refusal.limit);
    case Quantity::kBudget:
      break;
  }
  return fmt::format("{} has used its budget of {} units", subject, refusal.limit / 1e6);
}

}  // namespace

absl::Status OverLimit(std::string_view subject, const Account::Refusal& refusal,
                       http::Headers headers) {
  absl::Status status = absl::ResourceExhaustedError(Describe(subject, refusal));
  status.SetPayload(kLimit, absl::Cord(std::string(NameOf(refusal.quantity))));
  const absl::Duration wait = std::min(refusal.retry_in, kLongestWait);
  headers.Add("retry-after",
              fmt::format("{}", absl::ToInt64Seconds(absl::Ceil(wait, absl::Seconds(1)))));
  headers.Add(
      "retry-after-ms",
      fmt::format("{}", absl::ToInt64Milliseconds(absl::Ceil(wait, absl::Milliseconds(1)))));
  // It would be the same again, until the operator or the calendar says otherwise.
  if (refusal.quantity == Quantity::kBudget || refusal.asked > refusal.limit) {
    headers.Add("x-should-retry", "false");
  }
  http::SetHeaders(status, headers);
  return status;
}

bool IsOverLimit(const absl::Status& status) { return status.GetPayload(kLimit).has_value(); }

bool IsOverBudget(const absl::Status& status) {
  const auto limit = status.GetPayload(kLimit);
  return limit.has_value() && std::string(*limit) == NameOf(Quantity::kBudget);
}

}  // namespace slipway::gateway
