#include "services/gateway/oip/worker_queries.h"

#include <atomic>
#include <utility>

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

}  // namespace slipway::gateway
