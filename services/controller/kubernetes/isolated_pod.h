#ifndef SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_ISOLATED_POD_H_
#define SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_ISOLATED_POD_H_

#include <optional>
#include <string>
#include <vector>

#include "common/status/status.h"
#include "nlohmann/json.hpp"

namespace slipway::controller {

/// What a pool's isolated workers are made by: a PodTemplate of the chart, which says all of a pod
/// but whose worker it is. A value.
struct PodTemplate {
  std::string name;
  std::string uid;
  std::string labels;     ///< "a=b,c=d": those of its pods
  std::string subdomain;  ///< the headless Service that they have names by
  int port = 0;           ///< "grpc" of the container
  nlohmann::json pod;     ///< metadata and spec

  /// Errors: kFailedPrecondition that names what is missing.
  static absl::StatusOr<PodTemplate> Read(const nlohmann::json& object);

  /// Of the pool's isolated worker `number`, from 0.
  std::string NameOf(int number) const;
  std::string AddressOf(int number, const std::string& namespace_name) const;
};

/// The pod of worker `number`, for one owner (WorkerProcess::owner): `arguments` come after those
/// of the template. It goes with the template.
nlohmann::json MakePod(const PodTemplate& made_by, int number, const std::string& owner,
                       const std::vector<std::string>& arguments);

/// A pod as it is seen.
struct SeenPod {
  int number = 0;
  std::string uid;
  std::string owner;
  bool ending = false;  ///< it was told to
  bool ended = false;
  std::string how;        ///< it ended
  std::string waits_for;  ///< why its program does not run yet, for people; empty: it does
};

/// Nothing where the pod is not one of these workers.
std::optional<SeenPod> ReadPod(const PodTemplate& made_by, const nlohmann::json& pod);

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_KUBERNETES_ISOLATED_POD_H_
