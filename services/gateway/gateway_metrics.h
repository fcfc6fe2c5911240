#ifndef SLIPWAY_SERVICES_GATEWAY_GATEWAY_METRICS_H_
#define SLIPWAY_SERVICES_GATEWAY_GATEWAY_METRICS_H_

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/metrics/metrics.h"
#include "common/sync/mutex.h"

namespace slipway::gateway {

/// Counts and times of one kind of request: a counter a status and a histogram, looked up once
/// each and then touched without a lock of ours. Any thread.
class RequestMetrics {
 public:
  /// Counter `<counter>{labels, code}` and histogram `<histogram>{labels}`; `metrics` outlives it.
  RequestMetrics(Metrics& metrics, std::string counter, std::string counter_help,
                 std::string histogram, const std::string& histogram_help, Metrics::Labels labels);

  void Observe(int http_code, absl::Duration took);

 private:
  prometheus::Counter& CounterFor(int http_code);

  Metrics& metrics_;
  const std::string counter_;
  const std::string counter_help_;
  const Metrics::Labels labels_;
  prometheus::Histogram& histogram_;
  // By status from 200 on; filled as they occur.
  std::array<std::atomic<prometheus::Counter*>, 400> by_code_ = {};
};

/// What routing did with an endpoint's calls; labels tenant and endpoint, and `reason` or
/// `outcome`.
struct RoutingMetrics {
  prometheus::Counter& saturated;      ///< inference_shed_total{reason}
  prometheus::Counter& too_late;       ///< the same
  prometheus::Counter& retried;        ///< inference_retries_total{outcome}
  prometheus::Counter& retry_refused;  ///< the same
  prometheus::Counter& fallbacks;      ///< inference_fallbacks_total
  prometheus::Counter& ejections;      ///< worker_ejections_total
};

/// Of the copies that are made of an endpoint's calls: shadow_calls_total{outcome} and
/// shadow_duration_seconds.
struct ShadowMetrics {
  prometheus::Counter& agreed;
  prometheus::Counter& differed;
  prometheus::Counter& failed;
  prometheus::Counter& skipped;
  prometheus::Histogram& duration;
};

/// The gateway's metrics. Labels are bounded: methods by the method table, tenants and endpoints
/// by what is routed (all others are "other"), and all by Metrics' own limit. No key and no
/// request id is ever a label. Any thread.
class GatewayMetrics {
 public:
  /// `metrics` outlives this.
  explicit GatewayMetrics(Metrics& metrics);

  /// slipway_gateway_requests_total{method,code} and slipway_gateway_request_duration_seconds.
  RequestMetrics& Method(const std::string& label);

  /// slipway_gateway_inference_requests_total{tenant,endpoint,code} and
  /// slipway_gateway_inference_duration_seconds.
  std::shared_ptr<RequestMetrics> Endpoint(const std::string& tenant, const std::string& endpoint);

  /// The same ones for the same endpoint.
  RoutingMetrics Routing(const std::string& tenant, const std::string& endpoint);
  ShadowMetrics Shadow(const std::string& tenant, const std::string& endpoint);

  /// A request that was turned away: "no_key", "bad_key", "role", "tenant", "busy".
  void CountRefusal(const std::string& reason);

  Metrics& metrics() { return metrics_; }

 private:
  Metrics& metrics_;
  Mutex mutex_;
  std::map<std::string, std::unique_ptr<RequestMetrics>> methods_ GUARDED_BY(mutex_);
  std::map<std::pair<std::string, std::string>, std::shared_ptr<RequestMetrics>> endpoints_
      GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GATEWAY_METRICS_H_
