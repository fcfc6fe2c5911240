#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_WORKER_QUERIES_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_WORKER_QUERIES_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "common/status/status.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/routing/route_table.h"
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

/// What the workers answered; an error only where none did.
template <class Message>
absl::StatusOr<std::vector<Message>> ParseAnswers(const std::vector<Worker::Outcome>& outcomes) {
  std::vector<Message> messages;
  for (const Worker::Outcome& outcome : outcomes) {
    if (!outcome.status.ok()) continue;
    if (!messages.emplace_back().ParseFromString(std::string(outcome.answer))) {
      return absl::InternalError("a worker's answer could not be understood");
    }
  }
  if (messages.empty() && !outcomes.empty()) return outcomes[0].status;
  return messages;
}

/// ModelConfig of the target, from one of its workers. kUnavailable where there is none; `target`
/// may be null.
absl::StatusOr<WorkerQuery> ConfigQuery(const Endpoint& endpoint, const Target* target);

/// ModelStatistics of one endpoint (of one version, or of all where `version` is empty).
std::vector<WorkerQuery> StatisticsQueries(const Endpoint& endpoint, std::string_view version);
/// Of all that the key may call.
std::vector<WorkerQuery> StatisticsQueries(const RouteTable& routes, const KnownKey& key);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_WORKER_QUERIES_H_
