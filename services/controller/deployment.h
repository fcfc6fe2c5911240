#ifndef SLIPWAY_SERVICES_CONTROLLER_DEPLOYMENT_H_
#define SLIPWAY_SERVICES_CONTROLLER_DEPLOYMENT_H_

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "absl/time/time.h"
#include "common/names/names.h"
#include "services/controller/rollout.h"
#include "slipway/controller/v1/controller.pb.h"
#include "slipway/worker/v1/worker.pb.h"

namespace slipway::controller {

/// What a deployment serves, as its owner wrote it: one version, or an alias that may move.
class VersionReference {
 public:
  /// Errors: InvalidField(field).
  static absl::StatusOr<VersionReference> Parse(std::string_view field, std::string_view name);
  explicit VersionReference(VersionName version) : name_(std::move(version)) {}
  explicit VersionReference(AliasName alias) : name_(std::move(alias)) {}

  const std::string& tenant() const;
  bool IsAlias() const { return std::holds_alternative<AliasName>(name_); }
  /// The version itself; nothing for an alias.
  std::optional<VersionName> Version() const;
  std::string ToString() const;
  bool operator==(const VersionReference&) const = default;

 private:
  std::variant<VersionName, AliasName> name_;
};

/// A deployment as it is kept: what its owner wants, and the facts about the past that must
/// outlive a restart (`serving`, `trial`). Where it runs is observed, never kept.
struct Deployment {
  DeploymentName name;
  VersionReference model_version;
  std::string pool;
  /// Workers of the pool that load it; >= 1.
  int replicas = 1;
  /// Its owner deleted it; it goes once no worker has it.
  bool deleting = false;
  /// Its owner wants it on no worker for now.
  bool unloaded = false;
  /// The version that took traffic last. A restart loads it again beside the wanted one, so that
  /// a version that never loaded does not end what served before it.
  std::optional<VersionName> serving = std::nullopt;
  RolloutPolicy rollout = {};
  /// Of the newest version that was tried beside another.
  std::optional<Trial> trial = std::nullopt;
  absl::Time create_time;
  absl::Time update_time;
  /// Grows with each change of what is wanted.
  int64_t generation = 1;
  /// Of the call that made it; empty: it gave none.
  std::string request_id = "";
  /// How its models are run; stays as it was made.
  slipway::worker::v1::RuntimeSettings runtime = {};
  /// How its calls are served beside its weights.
  v1::RoutingPolicy routing = {};
};

/// One worker process of a pool: "default" and 0 are `default-0`.
struct WorkerId {
  std::string pool;
  int index = 0;
  std::string ToString() const;
  auto operator<=>(const WorkerId&) const = default;
};

/// What is loaded on a worker: one version, for one deployment.
struct ModelKey {
  DeploymentName deployment;
  VersionName version;
  auto operator<=>(const ModelKey&) const = default;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_DEPLOYMENT_H_
