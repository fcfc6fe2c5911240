#include "tests/support/internal_matrix.h"

#include <memory>
#include <string>
#include <vector>

#include "common/grpc/server.h"
#include "gmock/gmock.h"
#include "grpcpp/impl/service_type.h"
#include "gtest/gtest.h"
#include "tests/integration/grpc/test_controller.h"

namespace slipway {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class InternalMatrixTest : public ControllerFixture {
 protected:
  // What the matrix finds in a controller behind `edge`.
  std::vector<std::string> Failures(ServiceEdge* edge, ServiceId self = ServiceId::kController) {
    const TempDir dir;
    const auto service =
        MakeTestController(edge, [](const CallContext&) { return absl::OkStatus(); });
    const auto server = GrpcServer::Start({.address = "unix:" + (dir / "a.sock")}, {service.get()});
    EXPECT_TRUE(server.ok()) << server.status();
    return InternalMatrixFailures({kControllerService, (*server)->address(), self}, trust_);
  }
};

TEST_F(InternalMatrixTest, FindsNothingWhereEveryMethodPassesTheEdge) {
  EXPECT_THAT(Failures(edge_.get()), IsEmpty());
}

TEST_F(InternalMatrixTest, FindsAServiceWithoutAnEdge) {
  const auto failures = Failures(nullptr);
  // Of each of 12 methods: 8 callers that nobody knows and 4 services that are not listed.
  EXPECT_THAT(failures, SizeIs(12 * 12));
  EXPECT_THAT(failures, Each(HasSubstr("got code 0")));
}

TEST_F(InternalMatrixTest, FindsAMethodThatTakesMoreCallersThanItsProtoSays) {
  std::vector<MethodPolicy> policies;
  for (const char* method :
       {"CreateDeployment", "GetDeployment", "ListDeployments", "UpdateDeployment",
        "DeleteDeployment", "PromoteDeployment", "RollbackDeployment", "ReportTraffic",
        "WatchRoutes", "UnloadDeployment", "LoadDeployment", "PurgeTenant"}) {
    policies.push_back({method, {ServiceId::kGateway}});
  }
  policies[4].callers.push_back(ServiceId::kWorker);
  policies[2].callers = {ServiceId::kTraining};
  const auto edge = ServiceEdge::CreateWithPolicies(kControllerService, policies, *verifier_,
                                                    metrics_, Clock::Real());
  ASSERT_TRUE(edge.ok()) << edge.status();
  EXPECT_THAT(Failures(edge->get()),
              ::testing::UnorderedElementsAre(
                  AllOf(HasSubstr("ListDeployments from gateway"), HasSubstr("code 7")),
                  AllOf(HasSubstr("ListDeployments from training"), HasSubstr("code 0")),
                  AllOf(HasSubstr("DeleteDeployment from worker"), HasSubstr("code 0"))));
}

TEST_F(InternalMatrixTest, FindsAServiceThatTakesTokensForAnother) {
  const auto verifier = trust_.Verifier(ServiceId::kRegistry);
  const auto edge = ServiceEdge::Create(kControllerService, *verifier, metrics_, Clock::Real());
  EXPECT_FALSE(Failures(edge->get()).empty());
}

}  // namespace
}  // namespace slipway
