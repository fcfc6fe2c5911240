#ifndef SLIPWAY_SERVICES_GATEWAY_REQUEST_OBSERVER_H_
#define SLIPWAY_SERVICES_GATEWAY_REQUEST_OBSERVER_H_

#include <memory>

#include "common/http/server/server.h"
#include "common/time/clock.h"
#include "common/tracing/tracer.h"
#include "services/gateway/cors.h"

namespace slipway::gateway {

/// What each request leaves behind beside its answer, whatever it asks for and through whichever
/// door: a line in the access log, a span, and in its answer what a browser needs. Any thread.
class RequestObserver {
 public:
  struct Options {
    bool access_log = false;
    tracing::Tracer* tracer = nullptr;  ///< Null: no spans. Outlives the exchanges.
  };
  /// `cors` and `clock` outlive the exchanges.
  RequestObserver(const Options& options, const Cors& cors, const Clock& clock)
      : options_(options), cors_(cors), clock_(clock) {}

  /// The exchange to go on with: the same one where there is nothing to observe.
  std::shared_ptr<http::Exchange> Observe(std::shared_ptr<http::Exchange> exchange) const;

 private:
  class Observed;

  const Options options_;
  const Cors& cors_;
  const Clock& clock_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_REQUEST_OBSERVER_H_
