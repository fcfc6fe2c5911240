#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_WORKER_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_WORKER_H_

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/status/status.h"

namespace inference {
class ModelInferRequest;
class ModelInferResponse;
}  // namespace inference

namespace slipway::gateway {

/// A call that is on its way. Any thread.
class WorkerCall {
 public:
  virtual ~WorkerCall() = default;
  /// Ends it soon with kCancelled, unless it has ended.
  virtual void Cancel() = 0;
};

/// A worker as the gateway sees it: its address and how to ask it. Any thread.
class Worker {
 public:
  struct Options {
    std::string_view token;  ///< Of the caller's principal.
    std::string_view request_id;
    absl::Time deadline;
  };
  /// `never_sent`: the worker has not seen the call, so that another one may be asked.
  using Done = absl::AnyInvocable<void(const absl::Status& status, bool never_sent)>;

  explicit Worker(std::string address) : address_(std::move(address)) {}
  virtual ~Worker() = default;

  const std::string& address() const { return address_; }

  /// Sends a request. `request` and `response` stay as they are until `done` has run, once, on
  /// another thread (or on this one, before it returns).
  virtual std::shared_ptr<WorkerCall> Infer(const Options& options,
                                            const inference::ModelInferRequest& request,
                                            inference::ModelInferResponse& response, Done done) = 0;

  /// False while it is known not to answer.
  virtual bool reachable() const = 0;

  /// Calls that were sent and have not ended; kept by those who send them.
  std::atomic<int>& in_flight() { return in_flight_; }

 private:
  const std::string address_;
  std::atomic<int> in_flight_ = 0;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_WORKER_H_
