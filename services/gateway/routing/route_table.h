#ifndef SLIPWAY_SERVICES_GATEWAY_ROUTING_ROUTE_TABLE_H_
#define SLIPWAY_SERVICES_GATEWAY_ROUTING_ROUTE_TABLE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "common/sync/mutex.h"
#include "services/gateway/gateway_metrics.h"
#include "services/gateway/routing/endpoint_state.h"
#include "services/gateway/routing/outliers.h"
#include "services/gateway/routing/worker.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::controller::v1 {
class RouteTable;
class RoutingPolicy;
}  // namespace slipway::controller::v1

namespace slipway::gateway {

class ShadowTally;
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
  std::vector<std::shared_ptr<RoutedWorker>> workers;
  registry::v1::Signature signature;
  std::vector<std::string> labels;
  std::shared_ptr<TrafficCounter> traffic;
};

/// Where some of an endpoint's calls are copied to.
struct Shadow {
  std::string endpoint;  ///< of the same tenant
  std::string version;   ///< empty: by its weights
  double share = 0;      ///< of the calls, from 0 to 1
  double tolerance = 0;  ///< See RoutingPolicy.
  std::shared_ptr<ShadowTally> tally;

  /// `random` being uniform over all 64-bit numbers.
  bool Copies(uint64_t random) const;
};

/// What a caller names as `model`. Immutable, but for what `state` learns.
struct Endpoint {
  std::string deployment;  ///< tenants/{t}/deployments/{name}
  std::string tenant;
  std::string name;
  std::vector<Target> targets;
  absl::Duration timeout;     ///< of a call; 0: the gateway's own
  std::string sticky_header;  ///< empty: none
  std::string fallback;       ///< an endpoint of the same tenant; empty: none
  std::optional<Shadow> shadow;
  std::shared_ptr<RequestMetrics> metrics;
  std::shared_ptr<EndpointState> state;

  /// The version to call: by weight, `random` being uniform over all 64-bit numbers; or, where
  /// `version` is not empty, that one. Null where there is none.
  const Target* Choose(std::string_view version, uint64_t random) const;
};

/// The worker to ask: the least busy of those that can be reached and are not ejected, of those
/// that can be reached where that is none, then of all; `random` decides between equals. `except`
/// (may be null) is passed over. Null where none is left.
std::shared_ptr<RoutedWorker> ChooseWorker(const Target& target, const RoutedWorker* except,
                                           uint64_t random);

/// The same, but of equals by reach always the one that `hash` is nearest to, however busy, which
/// each gateway finds alike: where a worker comes or goes only its own calls change places.
std::shared_ptr<RoutedWorker> ChooseStickyWorker(const Target& target, const RoutedWorker* except,
                                                 uint64_t hash);

/// A version on a worker; `target` is its endpoint's.
struct Place {
  const Target* target = nullptr;
  std::shared_ptr<RoutedWorker> worker;
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
  /// From what the controller says. Routes and targets that make no sense are left out. Endpoints
  /// go on with what they learned in the table `before`.
  RouteTable(const controller::v1::RouteTable& table, const RouteTable& before,
             const WorkerFor& worker_for, GatewayMetrics& metrics, TrafficBook& traffic);

  /// Null where the tenant has no such endpoint.
  std::shared_ptr<const Endpoint> Find(std::string_view tenant, std::string_view endpoint) const;

  using Endpoints = absl::flat_hash_map<std::string, std::shared_ptr<const Endpoint>>;
  /// All of them, under names of no meaning.
  const Endpoints& endpoints() const { return endpoints_; }

  int64_t generation() const { return generation_; }
  /// From the controller, however empty: false before it was heard.
  bool known() const { return generation_ >= 0; }
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

 private:
  mutable Mutex mutex_;
  std::shared_ptr<const RouteTable> table_ GUARDED_BY(mutex_) = std::make_shared<RouteTable>();
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_ROUTING_ROUTE_TABLE_H_
