#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_ROUTE_TABLE_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_ROUTE_TABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/sync/mutex.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/routing/worker.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::controller::v1 {
class RouteTable;
}

namespace slipway::gateway {

class TrafficBook;
class TrafficCounter;

/// A version behind an endpoint and the workers that are ready with it.
struct Target {
  std::string model_version;  ///< tenants/{t}/models/{m}/versions/{n}
  std::string version;        ///< "{n}"
  /// What follows a serialized request to a worker, to say which model and version are asked
  /// whatever the request itself says: the last value of a field holds.
  std::string model_fields;
  int weight = 0;
  std::vector<std::shared_ptr<Worker>> workers;
  registry::v1::Signature signature;
  std::vector<std::string> labels;
  std::shared_ptr<TrafficCounter> traffic;
};

/// What a caller names as `model`. Immutable.
struct Endpoint {
  std::string deployment;  ///< tenants/{t}/deployments/{name}
  std::string tenant;
  std::string name;
  std::vector<Target> targets;
  std::shared_ptr<RequestMetrics> metrics;

  /// The version to call: by weight, `random` being uniform over all 64-bit numbers; or, where
  /// `version` is not empty, that one. Null where there is none.
  const Target* Choose(std::string_view version, uint64_t random) const;
};

/// The worker to ask: the least busy of those that can be reached, or of all where none can;
/// `random` decides between equals. `except` (may be null) is passed over. Null where none is
/// left.
std::shared_ptr<Worker> ChooseWorker(const Target& target, const Worker* except, uint64_t random);

/// A version on a worker; `target` is its endpoint's.
struct Place {
  const Target* target = nullptr;
  std::shared_ptr<Worker> worker;
};

/// Where the state of a sequence may be: where it is started now (by weight and by a hash that each
/// gateway finds alike), then where it may have been started before weights or workers changed.
/// `sequence` is uniform over all 64-bit numbers; with `start` only the former version's places.
std::vector<Place> PlacesFor(const Endpoint& endpoint, std::string_view version, uint64_t sequence,
                             bool start);

/// Where calls go. Immutable; any thread.
class RouteTable {
 public:
  using WorkerFor = std::function<std::shared_ptr<Worker>(const std::string& address)>;

  RouteTable() = default;
  /// From what the controller says. Routes and targets that make no sense are left out.
  RouteTable(const controller::v1::RouteTable& table, const WorkerFor& worker_for,
             GatewayMetrics& metrics, TrafficBook& traffic);

  /// Null where the tenant has no such endpoint.
  std::shared_ptr<const Endpoint> Find(std::string_view tenant, std::string_view endpoint) const;

  using Endpoints = absl::flat_hash_map<std::string, std::shared_ptr<const Endpoint>>;
  /// All of them, under names of no meaning.
  const Endpoints& endpoints() const { return endpoints_; }

  int64_t generation() const { return generation_; }
  size_t size() const { return endpoints_.size(); }

 private:
  int64_t generation_ = -1;
  Endpoints endpoints_;
};

/// The table that holds now. Any thread.
class Routes {
 public:
  std::shared_ptr<const RouteTable> Get() const {
    MutexLock lock(mutex_);
    return table_;
  }
  void Set(std::shared_ptr<const RouteTable> table) {
    MutexLock lock(mutex_);
    table_.swap(table);
  }
  /// Was there ever one?
  bool known() const { return Get()->generation() >= 0; }

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const RouteTable> table_ GUARDED_BY(mutex_) = std::make_shared<RouteTable>();
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_ROUTE_TABLE_H_
