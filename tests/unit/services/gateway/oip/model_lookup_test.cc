#include "services/gateway/oip/model_lookup.h"

#include <memory>

#include "common/metrics/metrics.h"
#include "gtest/gtest.h"
#include "services/gateway/routing/traffic.h"
#include "slipway/controller/v1/controller.pb.h"

namespace slipway::gateway {
namespace {

// Whoever is told "not found" does not try again: a gateway that has just started must not say so
// of models that it has not heard of yet.
TEST(ModelLookupTest, BeforeTheFirstTableModelsAreUnavailableAndNotAbsent) {
  KnownKey key;
  key.principal.tenant = "acme";
  Routes routes;
  EXPECT_TRUE(absl::IsUnavailable(FindEndpoint(routes, key, "digits", "").status()));

  Metrics registry("gateway");
  GatewayMetrics metrics(registry);
  TrafficBook traffic;
  controller::v1::RouteTable none;
  none.set_generation(0);
  routes.Set(std::make_shared<RouteTable>(
      none, *routes.Get(), [](const std::string&) { return nullptr; }, metrics, traffic));
  EXPECT_TRUE(absl::IsNotFound(FindEndpoint(routes, key, "digits", "").status()));
}

}  // namespace
}  // namespace slipway::gateway
