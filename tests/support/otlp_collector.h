#ifndef SLIPWAY_TESTS_SUPPORT_OTLP_COLLECTOR_H_
#define SLIPWAY_TESTS_SUPPORT_OTLP_COLLECTOR_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/http/server/server.h"
#include "common/sync/mutex.h"
#include "nlohmann/json.hpp"

namespace slipway {

/// An OpenTelemetry collector: takes OTLP over HTTP on a port of its own, as JSON, and keeps the
/// spans as they came. Any thread.
class OtlpCollector final : public http::Handler {
 public:
  OtlpCollector();

  /// For a service's `tracing.endpoint`.
  std::string url() const { return "http://" + server_->address(); }

  /// Those of that name, in the order of their arrival, each with the program that sent it as
  /// "service".
  std::vector<nlohmann::json> Spans(const std::string& name) const;

  void Handle(std::shared_ptr<http::Exchange> exchange) override;

 private:
  void Keep(const nlohmann::json& request);

  mutable Mutex mutex_;
  std::vector<nlohmann::json> spans_ GUARDED_BY(mutex_);
  std::unique_ptr<http::Server> server_;
};

/// The attributes of a span; 64-bit numbers are text.
std::map<std::string, std::string> AttributesOf(const nlohmann::json& span);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_OTLP_COLLECTOR_H_
