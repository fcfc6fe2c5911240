#ifndef SLIPWAY_TESTS_INTEGRATION_SERVICES_INFERENCE_WORKER_FIXTURE_H_
#define SLIPWAY_TESTS_INTEGRATION_SERVICES_INFERENCE_WORKER_FIXTURE_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/blob/blob_cache.h"
#include "common/grpc/service_listener.h"
#include "common/metrics/metrics.h"
#include "gtest/gtest.h"
#include "inference/open_inference.grpc.pb.h"
#include "services/inference/batching/batcher.h"
#include "services/inference/grpc_blob_client.h"
#include "services/inference/inference_service.h"
#include "services/inference/loaded_models.h"
#include "services/inference/model_runtime.h"
#include "services/inference/shared_memory.h"
#include "services/inference/worker_service.h"
#include "slipway/worker/v1/worker.grpc.pb.h"
#include "tests/support/serving/fake_registry.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::worker {

inline constexpr char kShoes[] = "tenants/acme/deployments/shoes";
inline constexpr char kVersion1[] = "tenants/acme/models/mlp/versions/1";
inline constexpr char kVersion2[] = "tenants/acme/models/mlp/versions/2";

/// A worker without its process: its real services behind their real listener on a Unix socket,
/// and a registry that it downloads from. The runtime is the test's.
class WorkerTest : public testing::Test {
 protected:
  using LoadedModelProto = v1::LoadedModel;

  /// Call first.
  void StartWorker(ModelRuntime& runtime, int instances = 2, size_t max_queue = 16,
                   bool shared_memory = false);
  /// Ends it; what is in flight may go on for `grace`.
  void StopWorker(absl::Duration grace = absl::ZeroDuration());

  const std::string& address() const { return server_->address(); }
  std::string GatewayToken(const std::string& tenant = "acme") const;
  std::string ControllerToken() const;
  /// What the controller gives a worker for these versions.
  std::string LoadToken(const std::vector<std::string>& versions) const;

  /// `steps`: of a pipeline, with a token for their files.
  absl::StatusOr<LoadedModelProto> Load(const std::string& deployment,
                                        const slipway::registry::v1::ModelVersion& version,
                                        const v1::RuntimeSettings& settings = {},
                                        const LoadedModels::Versions& steps = {});
  absl::Status Unload(const std::string& deployment, const std::string& version);
  std::vector<LoadedModelProto> List();
  v1::ProcessMemory Memory();
  /// Until the version is neither loading nor absent.
  LoadedModelProto Await(const std::string& version);
  LoadedModelProto LoadAndAwait(const slipway::registry::v1::ModelVersion& version);

  /// A call to the worker as the gateway makes it; `change` has the last word on the context.
  absl::StatusOr<inference::ModelInferResponse> Infer(
      const inference::ModelInferRequest& request, const std::string& tenant = "acme",
      absl::Duration timeout = absl::Seconds(30),
      const std::function<void(grpc::ClientContext&)>& change = nullptr);
  static inference::ModelInferRequest RequestFor(const std::vector<float>& row,
                                                 const std::string& deployment = kShoes);

  inference::GRPCInferenceService::Stub& inference() { return *inference_; }
  std::unique_ptr<grpc::ClientContext> GatewayContext(const std::string& tenant = "acme") const;

  v1::ListLoadedModelsResponse ListLoadedModels();

  TempDir dir_;
  TestTrust trust_;
  FakeRegistryServer registry_{trust_};
  Metrics metrics_{"worker"};
  SharedMemory memory_;
  std::atomic<bool> ready_ = true;
  std::unique_ptr<TokenVerifier> verifier_;
  std::unique_ptr<GrpcBlobClient> blobs_;
  std::unique_ptr<BlobCache> cache_;
  std::unique_ptr<Batcher> batcher_;
  std::unique_ptr<LoadedModels> models_;
  std::unique_ptr<InferenceService> inference_service_;
  std::unique_ptr<WorkerService> worker_service_;
  std::unique_ptr<ServiceListener> server_;
  std::unique_ptr<inference::GRPCInferenceService::Stub> inference_;
  std::unique_ptr<v1::WorkerService::Stub> control_;
};

/// The elements of a response's only FP32 output.
std::vector<float> Floats(const inference::ModelInferResponse& response);

}  // namespace slipway::worker

#endif  // SLIPWAY_TESTS_INTEGRATION_SERVICES_INFERENCE_WORKER_FIXTURE_H_
