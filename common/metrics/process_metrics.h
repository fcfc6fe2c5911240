#ifndef SLIPWAY_COMMON_METRICS_PROCESS_METRICS_H_
#define SLIPWAY_COMMON_METRICS_PROCESS_METRICS_H_

#include <vector>

#include "prometheus/metric_family.h"

// For the sources of this room only.
namespace slipway {

/// The process_* metrics that every Prometheus client library gives, by the names that dashboards
/// look for: processor time, memory, open files, start time. What /proc does not tell is left out.
std::vector<prometheus::MetricFamily> ProcessMetrics();

}  // namespace slipway

#endif  // SLIPWAY_COMMON_METRICS_PROCESS_METRICS_H_
