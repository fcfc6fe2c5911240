#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_WORKER_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_WORKER_H_

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/tracing/trace_context.h"

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
    const tracing::TraceContext* trace = nullptr;  ///< Null: none.
  };

  /// How a call ended.
  struct Outcome {
    absl::Status status;
    /// The serialized answer, where `status` is OK, in the pieces that it came in.
    absl::Cord answer;
    /// The worker has not seen the call, so that another one may be asked.
    bool never_sent = false;
    /// The status is the worker's own word: it is there.
    bool from_worker = false;
  };
  using Done = absl::AnyInvocable<void(Outcome)>;

  explicit Worker(std::string address) : address_(std::move(address)) {}
  virtual ~Worker() = default;

  const std::string& address() const { return address_; }

  /// Calls `method` ("ModelInfer") of the worker's Open Inference Protocol service with a
  /// serialized request, whose pieces are sent from where they are. `done` runs once, on an I/O
  /// thread, never inside this, and must not block.
  virtual std::shared_ptr<WorkerCall> Call(std::string_view method, const Options& options,
                                           absl::Cord request, Done done) = 0;

  /// False while it is known not to answer.
  virtual bool reachable() const = 0;

  /// Predictions that were sent and have not ended; kept by those who send them.
  std::atomic<int>& in_flight() { return in_flight_; }

 private:
  const std::string address_;
  std::atomic<int> in_flight_ = 0;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_WORKER_H_
