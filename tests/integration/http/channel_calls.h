#ifndef SLIPWAY_TESTS_INTEGRATION_HTTP_CHANNEL_CALLS_H_
#define SLIPWAY_TESTS_INTEGRATION_HTTP_CHANNEL_CALLS_H_

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "common/http/channel/channel.h"

namespace slipway::http::grpc {

/// A call that a test waits for.
struct PendingCall {
  std::shared_ptr<ClientCall> call;
  std::future<Outcome> outcome;

  Outcome Wait() { return outcome.get(); }
};

inline PendingCall Start(Channel& channel, Channel::Request request) {
  auto promise = std::make_shared<std::promise<Outcome>>();
  std::future<Outcome> outcome = promise->get_future();
  auto call = channel.Start(std::move(request),
                            [promise](Outcome ended) { promise->set_value(std::move(ended)); });
  return {std::move(call), std::move(outcome)};
}

inline PendingCall Start(Channel& channel, std::string_view method, absl::Cord message = {}) {
  return Start(channel, {.method = method, .message = std::move(message)});
}

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_TESTS_INTEGRATION_HTTP_CHANNEL_CALLS_H_
