#ifndef SLIPWAY_TESTS_CONFORMANCE_SERVED_GATEWAY_H_
#define SLIPWAY_TESTS_CONFORMANCE_SERVED_GATEWAY_H_

#include <memory>
#include <string>
#include <vector>

#include "tests/integration/gateway/gateway_fixture.h"
#include "tests/integration/services/inference/worker_fixture.h"
#include "tests/support/serving/identity_runtime.h"

namespace slipway {

/// A worker's services, outside of a test of the worker's own.
class LiveWorker : public worker::WorkerTest {
 public:
  explicit LiveWorker(std::unique_ptr<worker::ModelRuntime> runtime)
      : runtime_(std::move(runtime)) {
    StartWorker(*runtime_, /*instances=*/2, /*max_queue=*/64, /*shared_memory=*/true);
  }
  void TestBody() override {}

  const TestTrust& trust() const { return trust_; }
  using worker::WorkerTest::address;
  using worker::WorkerTest::GatewayToken;

  /// Serves a model of these tensors for tenant acme, which gives them back, and returns the route
  /// to it. Needs the runtime for that.
  controller::v1::Route Serve(const std::string& deployment,
                              const std::vector<TensorSpec>& tensors) {
    const std::string name = "tenants/acme/models/" + deployment + "/versions/1";
    return Serve("acme", deployment, worker::AddIdentityVersion(registry_, name, tensors));
  }

  /// A version that registry() has.
  controller::v1::Route Serve(const std::string& tenant, const std::string& deployment,
                              const slipway::registry::v1::ModelVersion& version,
                              const slipway::worker::v1::RuntimeSettings& settings = {}) {
    controller::v1::Route route;
    route.set_deployment("tenants/" + tenant + "/deployments/" + deployment);
    EXPECT_TRUE(Load(route.deployment(), version, settings).ok());
    const auto loaded = Await(version.name());
    EXPECT_EQ(loaded.state(), slipway::worker::v1::LoadedModel::READY) << loaded.error();
    auto& target = *route.add_targets();
    target.set_model_version(version.name());
    target.set_weight(1);
    target.add_workers(address());
    *target.mutable_signature() = loaded.facts().signature();
    return route;
  }

  FakeRegistryServer& registry() { return registry_; }

 private:
  const std::unique_ptr<worker::ModelRuntime> runtime_;
};

/// The real gateway in front of a real worker, with the key of a tenant that has models.
class ServedGatewayTest : public gateway::GatewayTest {
 protected:
  explicit ServedGatewayTest(
      std::unique_ptr<worker::ModelRuntime> runtime = std::make_unique<worker::IdentityRuntime>())
      : worker_(std::move(runtime)) {
    // One set of keys for both.
    std::filesystem::remove(folder_ / "identity.pem");
    EXPECT_TRUE(worker_.trust().key(ServiceId::kGateway).Save(folder_ / "identity.pem").ok());
    config_.trust_dir = worker_.trust().folder();
    platform_.reset();
    platform_ =
        std::make_unique<gateway::FakePlatform>(worker_.trust(), folder_ / "run/platform.sock");
  }

  struct Model {
    std::string name;
    std::vector<TensorSpec> tensors;
  };
  void Serve(const std::vector<Model>& models) {
    StartGateway();
    MakeTenant("acme");
    key_ = MakeKey("acme", "OWNER");
    std::vector<controller::v1::Route> routes;
    for (const Model& model : models) routes.push_back(worker_.Serve(model.name, model.tensors));
    SetRoutes(routes);
    for (const Model& model : models) {
      WaitFor([&] { return Ask("GET", "/v2/models/" + model.name, key_).status == 200; },
              "the routes");
    }
  }

  LiveWorker worker_;
  std::string key_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_CONFORMANCE_SERVED_GATEWAY_H_
