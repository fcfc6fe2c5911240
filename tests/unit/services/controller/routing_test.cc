#include "services/controller/routing.h"

#include <limits>
#include <map>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::controller {
namespace {

using ::testing::HasSubstr;

const DeploymentName kShoes{"acme", "shoes"};

class RoutingTest : public testing::Test {
 protected:
  // Another deployment of the tenant, with this fallback.
  void Add(const std::string& id, const std::string& fallback = "") {
    v1::RoutingPolicy& policy = others_[{"acme", id}];
    if (!fallback.empty()) policy.set_fallback("tenants/acme/deployments/" + fallback);
  }

  absl::Status Check() {
    return CheckRouting(kShoes, policy_, [&](const DeploymentName& name) {
      const auto found = others_.find(name);
      return found == others_.end() ? nullptr : &found->second;
    });
  }
  std::string BadField() { return FieldOf(Check()); }

  std::map<DeploymentName, v1::RoutingPolicy> others_;
  v1::RoutingPolicy policy_;
};

TEST_F(RoutingTest, NothingAndAllOfItIsTaken) {
  EXPECT_TRUE(Check().ok());
  Add("boots");
  policy_.mutable_timeout()->set_seconds(5);
  policy_.set_sticky_header("x-session_id");
  policy_.set_fallback("tenants/acme/deployments/boots");
  policy_.mutable_shadow()->set_deployment("tenants/acme/deployments/boots");
  policy_.mutable_shadow()->set_version("3");
  policy_.mutable_shadow()->set_percent(0.5);
  EXPECT_TRUE(Check().ok()) << Check();
}

TEST_F(RoutingTest, ATimeoutIsFromAMillisecondToAnHour) {
  policy_.mutable_timeout()->set_nanos(999'999);
  EXPECT_EQ(BadField(), "deployment.routing.timeout");
  policy_.mutable_timeout()->set_seconds(-1);
  EXPECT_EQ(BadField(), "deployment.routing.timeout");
  policy_.mutable_timeout()->set_seconds(3601);
  EXPECT_EQ(BadField(), "deployment.routing.timeout");
}

TEST_F(RoutingTest, AStickyHeaderIsAHeaderThatHoldsNoKey) {
  for (const char* name : {"X-Session", "a b", "a:b", "authorization", "x-api-key"}) {
    policy_.set_sticky_header(name);
    EXPECT_EQ(BadField(), "deployment.routing.sticky_header") << name;
  }
  policy_.set_sticky_header(std::string(65, 'x'));
  EXPECT_EQ(BadField(), "deployment.routing.sticky_header");
}

TEST_F(RoutingTest, AFallbackIsThereAndTheTenantsOwn) {
  policy_.set_fallback("tenants/acme/deployments/boots");
  const std::string absent(Check().message());
  EXPECT_THAT(absent, HasSubstr("tenants/acme/deployments/boots was not found"));
  others_[{"other", "boots"}];
  policy_.set_fallback("tenants/other/deployments/boots");
  EXPECT_THAT(std::string(Check().message()),
              HasSubstr("tenants/other/deployments/boots was not found"));
  policy_.set_fallback("boots");
  EXPECT_EQ(BadField(), "deployment.routing.fallback");
}

TEST_F(RoutingTest, FallbacksDoNotComeRound) {
  policy_.set_fallback("tenants/acme/deployments/shoes");
  EXPECT_EQ(BadField(), "deployment.routing.fallback");
  // Whoever deletes "shoes" and makes it anew closes this ring.
  Add("boots", "shoes");
  Add("socks", "boots");
  policy_.set_fallback("tenants/acme/deployments/socks");
  EXPECT_EQ(BadField(), "deployment.routing.fallback");
  EXPECT_THAT(std::string(Check().message()), HasSubstr("shoes would fall back on itself"));
}

TEST_F(RoutingTest, AChainEndsAtOneThatIsGoneAndARingOfOthersIsTheirs) {
  Add("boots", "gone");
  policy_.set_fallback("tenants/acme/deployments/boots");
  EXPECT_TRUE(Check().ok());
  Add("tick", "tock");
  Add("tock", "tick");
  policy_.set_fallback("tenants/acme/deployments/tick");
  EXPECT_TRUE(Check().ok());
}

TEST_F(RoutingTest, AShadowIsSomethingElse) {
  auto& shadow = *policy_.mutable_shadow();
  shadow.set_percent(10);
  EXPECT_EQ(BadField(), "deployment.routing.shadow.deployment");
  shadow.set_deployment("tenants/acme/deployments/boots");
  EXPECT_EQ(BadField(), "deployment.routing.shadow.deployment");
  shadow.set_deployment(kShoes.ToString());
  EXPECT_EQ(BadField(), "deployment.routing.shadow.version");
  shadow.set_version("0");
  EXPECT_EQ(BadField(), "deployment.routing.shadow.version");
  shadow.set_version("2");
  EXPECT_TRUE(Check().ok()) << Check();
}

TEST_F(RoutingTest, AShadowsNumbersMakeSense) {
  Add("boots");
  auto& shadow = *policy_.mutable_shadow();
  shadow.set_deployment("tenants/acme/deployments/boots");
  for (const double percent : {0.0, -1.0, 100.1, std::numeric_limits<double>::quiet_NaN()}) {
    shadow.set_percent(percent);
    EXPECT_EQ(BadField(), "deployment.routing.shadow.percent") << percent;
  }
  shadow.set_percent(100);
  for (const double tolerance :
       {-0.1, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    shadow.set_tolerance(tolerance);
    EXPECT_EQ(BadField(), "deployment.routing.shadow.tolerance") << tolerance;
  }
}

}  // namespace
}  // namespace slipway::controller
