// slipway-test-serving: the real gateway in front of the real worker with tenant acme's model "mlp"
// (x FP32 [-1, 4] -> probabilities FP32 [-1, 3]), for clients in other languages. Prints where it
// is and its keys as one line of JSON, and ends when its standard input does.

#include <cstdlib>
#include <iostream>
#include <string>

#include "common/http/client/client.h"
#include "common/process/local_process_launcher.h"
#include "nlohmann/json.hpp"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/gateway/gateway_process.h"
#include "tests/support/serving/worker_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway {
namespace {

nlohmann::json Post(const std::string& address, const std::string& key, const std::string& target,
                    const std::string& body) {
  http::ClientOptions options;
  options.headers.Add("Authorization", "Bearer " + key);
  auto client = http::Client::Create("http://" + address, std::move(options));
  http::Request request;
  request.method = "POST";
  request.target = target;
  request.headers.Add("Content-Type", "application/json");
  request.body = body;
  const auto response = client.ok() ? client->Send(request) : client.status();
  if (!response.ok() || response->status != 200) {
    std::cerr << "POST " << target << ": "
              << (response.ok() ? response->body : response.status().ToString()) << "\n";
    std::exit(1);
  }
  return nlohmann::json::parse(response->body);
}

int Main() {
  const TempDir folder;
  const TestTrust trust;
  LocalProcessLauncher launcher;
  const TestArtifact artifact = SmallMlp(1);
  WorkerProcess worker(launcher, trust, {});
  worker.Load("mlp", artifact);
  controller::v1::RouteTable routes;
  routes.set_generation(1);
  auto& route = *routes.add_routes();
  route.set_deployment("tenants/acme/deployments/mlp");
  auto& target = *route.add_targets();
  target.set_model_version("tenants/acme/models/mlp/versions/1");
  target.set_weight(1);
  target.add_workers(worker.address());
  *target.mutable_signature() = artifact.signature;
  const gateway::FakePlatform platform(trust, folder / "platform.sock", routes);
  const gateway::GatewayProcess gateway(launcher, trust,
                                        {.registry = platform.address(),
                                         .training = platform.address(),
                                         .controller = platform.address(),
                                         .settings = {},
                                         .wrapper = {}});
  const std::string& operator_key = gateway.operator_key();
  Post(gateway.address(), operator_key, "/api/v1/tenants?tenantId=acme", "{}");
  const auto key = Post(gateway.address(), operator_key, "/api/v1/tenants/acme/keys",
                        R"({"role":"ROLE_OWNER"})");
  std::cout << nlohmann::json{{"address", gateway.address()},
                              {"key", key["secret"]},
                              {"operator_key", operator_key},
                              {"row", {1, 0.5, -2, 3}},
                              {"answer", SmallMlpAnswer(artifact, {1, 0.5F, -2, 3})}}
            << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
  }
  return 0;
}

}  // namespace
}  // namespace slipway

int main() { return slipway::Main(); }
