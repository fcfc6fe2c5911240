// Who may call what: every method of the worker's services, with every kind of token.

#include "google/protobuf/descriptor.h"
#include "tests/integration/services/inference/worker_fixture.h"
#include "tests/support/internal_matrix.h"
#include "tests/unit/services/inference/fakes.h"

namespace slipway::worker {
namespace {

class WorkerMatrixTest : public WorkerTest {
 protected:
  WorkerMatrixTest() { StartWorker(runtime_); }
  FakeRuntime runtime_;
};

TEST_F(WorkerMatrixTest, WorkerServiceTakesTheControllerOnly) {
  ExpectInternalMatrix(
      {.name = "slipway.worker.v1.WorkerService", .address = address(), .self = ServiceId::kWorker},
      trust_);
}

TEST_F(WorkerMatrixTest, InferenceTakesTheGatewayOnly) {
  std::vector<MethodPolicy> policies;
  const auto& service = *inference::ModelInferRequest::descriptor()->file()->service(0);
  for (int i = 0; i < service.method_count(); ++i) {
    policies.push_back({service.method(i)->name(), {ServiceId::kGateway}});
  }
  ExpectInternalMatrix({.name = "inference.GRPCInferenceService",
                        .address = address(),
                        .self = ServiceId::kWorker,
                        .policies = policies},
                       trust_);
}

}  // namespace
}  // namespace slipway::worker
