#ifndef SLIPWAY_TESTS_INTEGRATION_SERVICES_CONTROLLER_CONTROLLER_CLIENT_H_
#define SLIPWAY_TESTS_INTEGRATION_SERVICES_CONTROLLER_CONTROLLER_CLIENT_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/status/status.h"
#include "slipway/controller/v1/controller.grpc.pb.h"
#include "tests/support/test_trust.h"

namespace slipway::controller {

inline constexpr char kShoes[] = "tenants/acme/deployments/shoes";
inline constexpr char kVersion1[] = "tenants/acme/models/mlp/versions/1";
inline constexpr char kVersion2[] = "tenants/acme/models/mlp/versions/2";

/// The controller's service as the gateway calls it for a developer of tenant "acme".
class ControllerClient {
 public:
  ControllerClient(const std::string& address, const TestTrust& trust);

  absl::StatusOr<v1::Deployment> Create(const std::string& id, const std::string& version,
                                        const std::string& request_id = "");
  absl::StatusOr<v1::Deployment> Get(const std::string& name);
  absl::StatusOr<v1::ListDeploymentsResponse> List();
  absl::StatusOr<v1::Deployment> Update(const std::string& name, const std::string& version);
  absl::Status Delete(const std::string& name);
  absl::StatusOr<v1::Deployment> Unload(const std::string& name);
  absl::StatusOr<v1::Deployment> Load(const std::string& name);

  /// Asks until the deployment is as `wanted` says, and returns it; gives up after 60 s.
  v1::Deployment Await(const std::string& name,
                       const std::function<bool(const v1::Deployment&)>& wanted);
  v1::Deployment AwaitState(const std::string& name, v1::Deployment::State state);
  void AwaitGone(const std::string& name);

  /// Reads route tables until one is as `wanted` says, and returns it; nothing when the stream
  /// ends or 60 s have passed first.
  std::optional<v1::RouteTable> AwaitRoutes(
      const std::function<bool(const v1::RouteTable&)>& wanted);

 private:
  std::unique_ptr<grpc::ClientContext> Context() const;

  const TestTrust& trust_;
  const std::unique_ptr<v1::ControllerService::Stub> stub_;
};

/// The version that the table's only route goes to; empty: none.
std::string RoutedVersion(const v1::RouteTable& table);

}  // namespace slipway::controller

#endif  // SLIPWAY_TESTS_INTEGRATION_SERVICES_CONTROLLER_CONTROLLER_CLIENT_H_
