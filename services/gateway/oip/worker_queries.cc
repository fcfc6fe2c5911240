#include "services/gateway/oip/worker_queries.h"

#include <atomic>
#include <set>
#include <utility>

#include "inference/open_inference.pb.h"
#include "services/gateway/oip/model_lookup.h"

namespace slipway::gateway {
namespace {

struct Round {
  std::vector<Worker::Outcome> outcomes;
  std::atomic<size_t> missing;
  absl::AnyInvocable<void(std::vector<Worker::Outcome>)> done;
};

}  // namespace

void AskWorkers(std::string_view method, const Worker::Options& options,
                std::vector<WorkerQuery> queries,
                absl::AnyInvocable<void(std::vector<Worker::Outcome>)> done) {
  if (queries.empty()) return done({});
  const auto round = std::make_shared<Round>();
  round->outcomes.resize(queries.size());
  round->missing = queries.size();
  round->done = std::move(done);
  for (size_t i = 0; i < queries.size(); ++i) {
    queries[i].worker->Call(method, options, absl::Cord(std::move(queries[i].request)),
                            [round, i](Worker::Outcome outcome) {
                              round->outcomes[i] = std::move(outcome);
                              if (round->missing.fetch_sub(1) == 1) {
                                round->done(std::move(round->outcomes));
                              }
                            });
  }
}

absl::StatusOr<WorkerQuery> ConfigQuery(const Endpoint& endpoint, const Target* target) {
  const auto worker = target == nullptr ? nullptr : ChooseWorker(*target, nullptr, 0);
  if (worker == nullptr) return NoWorker();
  inference::ModelConfigRequest request;
  request.set_name(endpoint.deployment);
  request.set_version(target->version);
  return WorkerQuery{worker->worker, request.SerializeAsString()};
}

std::vector<WorkerQuery> StatisticsQueries(const Endpoint& endpoint, std::string_view version) {
  std::vector<WorkerQuery> queries;
  for (const Target& target : endpoint.targets) {
    if (!version.empty() && target.version != version) continue;
    inference::ModelStatisticsRequest request;
    request.set_name(endpoint.deployment);
    request.set_version(target.version);
    for (const auto& worker : target.workers) {
      queries.push_back({worker->worker, request.SerializeAsString()});
    }
  }
  return queries;
}

std::vector<WorkerQuery> StatisticsQueries(const RouteTable& routes, const KnownKey& key) {
  std::vector<WorkerQuery> queries;
  for (const std::string& model : key.record.allowed_models) {
    const auto endpoint = routes.Find(key.principal.tenant, model);
    if (endpoint == nullptr) continue;
    for (WorkerQuery& query : StatisticsQueries(*endpoint, "")) queries.push_back(std::move(query));
  }
  if (!key.record.allowed_models.empty()) return queries;
  // Without a name a worker tells of all models that the principal may see: once is enough.
  std::set<std::shared_ptr<Worker>> asked;
  for (const auto& [name, endpoint] : routes.endpoints()) {
    if (endpoint->tenant != key.principal.tenant) continue;
    for (const Target& target : endpoint->targets) {
      for (const auto& worker : target.workers) {
        if (asked.insert(worker->worker).second) queries.push_back({worker->worker, ""});
      }
    }
  }
  return queries;
}

}  // namespace slipway::gateway
