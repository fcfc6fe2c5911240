#include "services/controller/routing.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "common/proto_time/proto_time.h"
#include "common/runtime_settings/runtime_settings.h"
#include "common/text/text.h"
#include "fmt/format.h"

namespace slipway::controller {
namespace {

constexpr absl::Duration kShortestTimeout = absl::Milliseconds(1);
constexpr absl::Duration kLongestTimeout = absl::Hours(1);
constexpr size_t kMaxHeaderBytes = 64;

bool IsHeaderName(const std::string& name) {
  constexpr std::string_view kSigns = "-_.!#$%&'*+^`|~";
  return name.size() <= kMaxHeaderBytes && std::ranges::all_of(name, [&](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                  kSigns.find(c) != std::string_view::npos;
         });
}

// Another tenant's deployment reads like an absent one.
absl::StatusOr<DeploymentName> CheckOther(const std::string& field, const std::string& text,
                                          const DeploymentName& name, FindRouting find) {
  ASSIGN_OR_RETURN(DeploymentName other, DeploymentName::Parse(field, text));
  const bool known = other == name || (other.tenant == name.tenant && find(other) != nullptr);
  if (!known) return InvalidField(field, fmt::format("{} was not found", text));
  return other;
}

absl::Status CheckFallback(const DeploymentName& name, const std::string& fallback,
                           FindRouting find) {
  static constexpr char kField[] = "deployment.routing.fallback";
  ASSIGN_OR_RETURN(DeploymentName next, CheckOther(kField, fallback, name, find));
  std::set<DeploymentName> passed;
  // It ends at a deployment that has none or is gone, or else comes round.
  while (passed.insert(next).second) {
    if (next == name) {
      return InvalidField(kField, fmt::format("{} would fall back on itself", name.id));
    }
    const v1::RoutingPolicy* const routing = find(next);
    if (routing == nullptr || routing->fallback().empty()) break;
    ASSIGN_OR_RETURN(next, DeploymentName::Parse(kField, routing->fallback()));
  }
  return absl::OkStatus();
}

absl::Status CheckShadow(const DeploymentName& name, const v1::RoutingPolicy::Shadow& shadow,
                         FindRouting find) {
  const std::string field = "deployment.routing.shadow";
  ASSIGN_OR_RETURN(const DeploymentName other,
                   CheckOther(field + ".deployment", shadow.deployment(), name, find));
  if (!shadow.version().empty() && ParseNumber<int64_t>(shadow.version()).value_or(0) < 1) {
    return InvalidField(field + ".version", "must be a version's number");
  }
  if (other == name && shadow.version().empty()) {
    return InvalidField(field + ".version", "says which other version of it, such as \"2\"");
  }
  if (!(shadow.percent() > 0 && shadow.percent() <= 100)) {
    return InvalidField(field + ".percent",
                        fmt::format("must be above 0 and at most 100, got {}", shadow.percent()));
  }
  if (!(shadow.tolerance() >= 0 && std::isfinite(shadow.tolerance()))) {
    return InvalidField(field + ".tolerance",
                        fmt::format("must be at least 0, got {}", shadow.tolerance()));
  }
  return absl::OkStatus();
}

void AddTo(LatencyHistogram& sum, const LatencyHistogram& other) {
  for (size_t i = 0; i < sum.buckets.size(); ++i) sum.buckets[i] += other.buckets[i];
}

}  // namespace

absl::Status CheckRouting(const DeploymentName& name, const v1::RoutingPolicy& policy,
                          FindRouting find) {
  if (policy.has_timeout()) {
    const absl::Duration timeout = ToDuration(policy.timeout());
    if (timeout < kShortestTimeout || timeout > kLongestTimeout) {
      return InvalidField(
          "deployment.routing.timeout",
          fmt::format("must be from {} to {}, got {}", absl::FormatDuration(kShortestTimeout),
                      absl::FormatDuration(kLongestTimeout), absl::FormatDuration(timeout)));
    }
  }
  if (const std::string& header = policy.sticky_header(); !header.empty()) {
    static constexpr char kField[] = "deployment.routing.sticky_header";
    if (!IsHeaderName(header)) {
      return InvalidField(kField, fmt::format("must be a header's name in lower case, of at most "
                                              "{} bytes",
                                              kMaxHeaderBytes));
    }
    if (header == "authorization" || header == "x-api-key") {
      return InvalidField(kField, "keys are rotated: name a header that stays");
    }
  }
  if (!policy.fallback().empty()) RETURN_IF_ERROR(CheckFallback(name, policy.fallback(), find));
  if (policy.has_shadow()) RETURN_IF_ERROR(CheckShadow(name, policy.shadow(), find));
  return absl::OkStatus();
}

void ShadowTraffic::Add(const ShadowTraffic& other) {
  agreed += other.agreed;
  differed += other.differed;
  failed += other.failed;
  skipped += other.skipped;
  AddTo(latency, other.latency);
  AddTo(original_latency, other.original_latency);
}

}  // namespace slipway::controller
