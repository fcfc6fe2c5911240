#ifndef SLIPWAY_SERVICES_GATEWAY_OBSERVATION_H_
#define SLIPWAY_SERVICES_GATEWAY_OBSERVATION_H_

#include <string>

#include "common/http/server/server.h"
#include "common/tracing/tracer.h"

// What handlers tell those who observe a request (RequestObserver), if anybody does.
namespace slipway::gateway {

/// What steps of its work belong to; null where nobody asks. Lives as long as the exchange.
inline const tracing::Span* SpanOf(http::Exchange& exchange) {
  http::Observation* const observation = exchange.observation();
  return observation == nullptr ? nullptr : &observation->span;
}

inline void NoteModel(http::Exchange& exchange, const std::string& model) {
  if (http::Observation* const observation = exchange.observation()) observation->model = model;
}

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OBSERVATION_H_
