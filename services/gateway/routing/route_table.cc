#include "services/gateway/routing/route_table.h"

#include <algorithm>
#include <functional>
#include <type_traits>
#include <utility>

#include "absl/strings/string_view.h"
#include "common/log/log.h"
#include "common/names/names.h"
#include "common/proto_time/proto_time.h"
#include "inference/open_inference.pb.h"
#include "services/gateway/routing/traffic.h"
#include "slipway/controller/v1/controller.pb.h"

namespace slipway::gateway {
namespace {

// Tenants and endpoints are slugs, which hold no '/'.
std::string KeyOf(std::string_view tenant, std::string_view endpoint) {
  std::string key;
  key.reserve(tenant.size() + 1 + endpoint.size());
  key.append(tenant).append(1, '/').append(endpoint);
  return key;
}

std::string ModelFields(const std::string& deployment, const std::string& version) {
  inference::ModelInferRequest fields;
  fields.set_model_name(deployment);
  fields.set_model_version(version);
  return fields.SerializeAsString();
}

// Where the policy says nothing.
constexpr double kTolerance = 0.001;

// A 64-bit number to a place below `size`, without the bias of a remainder that could be seen.
uint64_t Below(uint64_t size, uint64_t random) {
  return static_cast<uint64_t>((static_cast<unsigned __int128>(random) * size) >> 64);
}

// Mixes all bits of both (the finalizer of MurmurHash3).
uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t mixed = a ^ (b * 0x9e3779b97f4a7c15);
  mixed = (mixed ^ (mixed >> 33)) * 0xff51afd7ed558ccd;
  mixed = (mixed ^ (mixed >> 33)) * 0xc4ceb9fe1a85ec53;
  return mixed ^ (mixed >> 33);
}

// Rendezvous hashing: the worker with the highest rank is the place of what `hash` stands for.
uint64_t RankOf(uint64_t hash, const RoutedWorker& worker) {
  return Mix(hash, std::hash<std::string>()(worker.worker->address()));
}

// The workers of a version by rank, the best last: where one comes or goes, only the sequences
// change places that are on it.
std::vector<Place> ByRank(const Target& target, uint64_t sequence) {
  std::vector<std::pair<uint64_t, Place>> ranked;
  for (const std::shared_ptr<RoutedWorker>& worker : target.workers) {
    ranked.push_back({RankOf(sequence, *worker), {&target, worker}});
  }
  std::ranges::sort(ranked, {}, &std::pair<uint64_t, Place>::first);
  std::vector<Place> places;
  for (auto& [rank, place] : ranked) places.push_back(std::move(place));
  return places;
}

// From a random place on, the worker that comes first by reach and then by `preference`, the
// greatest first.
template <class Preference>
std::shared_ptr<RoutedWorker> BestWorker(const Target& target, const RoutedWorker* except,
                                         uint64_t random, const Preference& preference) {
  const size_t count = target.workers.size();
  if (count == 0) return nullptr;
  const size_t start = Below(count, random);
  const std::shared_ptr<RoutedWorker>* best = nullptr;
  std::pair<int, std::invoke_result_t<Preference, const RoutedWorker&>> best_rank;
  for (size_t i = 0; i < count; ++i) {
    const std::shared_ptr<RoutedWorker>& worker = target.workers[(start + i) % count];
    if (worker.get() == except) continue;
    const int reach = !worker->worker->reachable() ? 0 : worker->ejected() ? 1 : 2;
    const std::pair rank(reach, preference(*worker));
    if (best != nullptr && rank <= best_rank) continue;
    best = &worker;
    best_rank = rank;
  }
  return best == nullptr ? nullptr : *best;
}

std::optional<Shadow> ReadShadow(const controller::v1::RoutingPolicy::Shadow& from) {
  const auto name = DeploymentName::Parse("shadow", from.deployment());
  if (!name.ok()) return std::nullopt;
  return Shadow{.endpoint = name->id,
                .version = from.version(),
                .share = from.percent() / 100,
                .tolerance = from.tolerance() > 0 ? from.tolerance() : kTolerance,
                .tally = nullptr};
}

void ReadPolicy(const controller::v1::RoutingPolicy& from, Endpoint& endpoint) {
  endpoint.timeout = ToDuration(from.timeout());
  endpoint.sticky_header = from.sticky_header();
  if (const auto name = DeploymentName::Parse("fallback", from.fallback()); name.ok()) {
    endpoint.fallback = name->id;
  }
  if (from.has_shadow()) endpoint.shadow = ReadShadow(from.shadow());
}

}  // namespace

const Target* Endpoint::Choose(std::string_view version, uint64_t random) const {
  if (!version.empty()) {
    for (const Target& target : targets) {
      if (target.version == version) return &target;
    }
    return nullptr;
  }
  uint64_t total = 0;
  for (const Target& target : targets) total += static_cast<uint64_t>(target.weight);
  if (total == 0) return nullptr;
  uint64_t place = Below(total, random);
  for (const Target& target : targets) {
    const auto weight = static_cast<uint64_t>(target.weight);
    if (place < weight) return &target;
    place -= weight;
  }
  return nullptr;
}

bool Shadow::Copies(uint64_t random) const {
  constexpr double kAll = 0x1p64;
  return static_cast<double>(random) < share * kAll;
}

std::shared_ptr<RoutedWorker> ChooseWorker(const Target& target, const RoutedWorker* except,
                                           uint64_t random) {
  return BestWorker(target, except, random, [](const RoutedWorker& worker) {
    return -worker.worker->in_flight().load(std::memory_order_relaxed);
  });
}

std::shared_ptr<RoutedWorker> ChooseStickyWorker(const Target& target, const RoutedWorker* except,
                                                 uint64_t hash) {
  return BestWorker(target, except, 0,
                    [&](const RoutedWorker& worker) { return RankOf(hash, worker); });
}

std::vector<Place> PlacesFor(const Endpoint& endpoint, std::string_view version, uint64_t sequence,
                             bool start) {
  const Target* const first = endpoint.Choose(version, sequence);
  if (first == nullptr) return {};
  std::vector<std::vector<Place>> targets = {ByRank(*first, sequence)};
  if (!start && version.empty()) {
    for (const Target& target : endpoint.targets) {
      if (&target != first) targets.push_back(ByRank(target, sequence));
    }
  }
  // A version's first place is more likely than another's second.
  std::vector<Place> places;
  for (bool more = true; more;) {
    more = false;
    for (std::vector<Place>& target : targets) {
      if (target.empty()) continue;
      places.push_back(std::move(target.back()));
      target.pop_back();
      more = true;
    }
  }
  return places;
}

RouteTable::RouteTable(const controller::v1::RouteTable& table, const RouteTable& before,
                       const WorkerFor& worker_for, GatewayMetrics& metrics, TrafficBook& traffic)
    : generation_(table.generation()) {
  for (const controller::v1::Route& route : table.routes()) {
    const auto name = DeploymentName::Parse("deployment", route.deployment());
    if (!name.ok()) {
      Log(Severity::kError, "route_not_understood", {{"deployment", route.deployment()}});
      continue;
    }
    auto endpoint = std::make_shared<Endpoint>();
    endpoint->deployment = route.deployment();
    endpoint->tenant = name->tenant;
    endpoint->name = name->id;
    endpoint->metrics = metrics.Endpoint(name->tenant, name->id);
    ReadPolicy(route.routing(), *endpoint);
    if (endpoint->shadow) {
      endpoint->shadow->tally = traffic.ShadowOf(
          route.deployment(), [&] { return metrics.Shadow(name->tenant, name->id); });
    }
    std::vector<std::vector<std::shared_ptr<Worker>>> workers;  // of each target
    for (const auto& from : route.targets()) {
      const auto version = VersionName::Parse("model_version", from.model_version());
      if (!version.ok() || from.weight() < 0) {
        Log(Severity::kError, "route_not_understood", {{"model_version", from.model_version()}});
        continue;
      }
      Target target;
      target.model_version = from.model_version();
      target.version = std::to_string(version->number);
      target.model_fields = ModelFields(endpoint->deployment, target.version);
      target.weight = from.weight();
      target.signature = from.signature();
      target.labels.assign(from.labels().begin(), from.labels().end());
      target.traffic = traffic.For(route.deployment(), from.model_version());
      workers.emplace_back();
      for (const std::string& address : from.workers()) {
        if (auto worker = worker_for(address)) workers.back().push_back(std::move(worker));
      }
      endpoint->targets.push_back(std::move(target));
    }
    const auto known = before.Find(name->tenant, name->id);
    endpoint->state =
        known != nullptr ? known->state
                         : std::make_shared<EndpointState>(metrics.Routing(name->tenant, name->id));
    std::vector<std::shared_ptr<Worker>> all;
    for (const auto& some : workers) {
      for (const auto& worker : some) {
        if (std::ranges::find(all, worker) == all.end()) all.push_back(worker);
      }
    }
    const std::vector<std::shared_ptr<RoutedWorker>> routed = endpoint->state->SetWorkers(all);
    for (size_t i = 0; i < workers.size(); ++i) {
      for (const auto& worker : workers[i]) {
        endpoint->targets[i].workers.push_back(
            *std::ranges::find(routed, worker, &RoutedWorker::worker));
      }
    }
    std::string key = KeyOf(endpoint->tenant, endpoint->name);
    endpoints_[std::move(key)] = std::move(endpoint);
  }
}

std::shared_ptr<const Endpoint> RouteTable::Find(std::string_view tenant,
                                                 std::string_view endpoint) const {
  const std::string key = KeyOf(tenant, endpoint);
  const auto found = endpoints_.find(absl::string_view(key));
  return found == endpoints_.end() ? nullptr : found->second;
}

}  // namespace slipway::gateway
