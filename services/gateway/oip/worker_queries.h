#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_WORKER_QUERIES_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_WORKER_QUERIES_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "services/gateway/routing/worker.h"

namespace slipway::gateway {

/// What one worker is asked.
struct WorkerQuery {
  std::shared_ptr<Worker> worker;
  std::string request;  ///< serialized
};

/// Asks all workers at once; `done` gets their outcomes in the order of the queries when the last
/// has come, on another thread or, where there is none to ask, on this one.
void AskWorkers(std::string_view method, const Worker::Options& options,
                std::vector<WorkerQuery> queries,
                absl::AnyInvocable<void(std::vector<Worker::Outcome>)> done);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_WORKER_QUERIES_H_
