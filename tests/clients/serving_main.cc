// slipway-test-serving: the real gateway in front of the real registry and the real worker with
// tenant acme's model "mlp" (x FP32 [-1, 4] -> probabilities FP32 [-1, 3]) and "pump"
// (tests/fixtures/models/pump), and the real training service, for clients in other languages.
// Prints where it is and its keys as one line of JSON, and ends when its standard input does. The
// lines "registry off" and "registry on" take the registry away and bring it back; it prints "done"
// after each.

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "common/files/files.h"
#include "common/http/client/client.h"
#include "common/process/local_process_launcher.h"
#include "nlohmann/json.hpp"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/gateway/gateway_process.h"
#include "tests/support/places.h"
#include "tests/support/registry/registry_server.h"
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

TestArtifact Pump() {
  TestArtifact artifact;
  artifact.format = "onnx";
  artifact.weights = *ReadFile(SourceFile("tests/fixtures/models/pump/model.onnx"));
  artifact.weights_file = "model.onnx";
  for (const char* name : {"mean", "variance", "count"}) {
    auto& state = *artifact.signature.add_states();
    state.set_input(name);
    state.set_output(std::string("new_") + name);
  }
  return artifact;
}

// As the worker tells the controller.
registry::v1::Signature WhatCallersSeeOfPump() {
  registry::v1::Signature signature;
  const auto fill = [](const char* name, int64_t width, registry::v1::TensorSpec& tensor) {
    tensor.set_name(name);
    tensor.set_datatype("FP32");
    tensor.add_shape(-1);
    tensor.add_shape(width);
  };
  fill("reading", 4, *signature.add_inputs());
  fill("score", 1, *signature.add_outputs());
  return signature;
}

void AddRoute(const std::string& model, const std::string& worker,
              const registry::v1::Signature& signature, controller::v1::RouteTable& routes) {
  auto& route = *routes.add_routes();
  route.set_deployment("tenants/acme/deployments/" + model);
  auto& target = *route.add_targets();
  target.set_model_version("tenants/acme/models/" + model + "/versions/1");
  target.set_weight(1);
  target.add_workers(worker);
  *target.mutable_signature() = signature;
}

std::unique_ptr<Process> StartTraining(LocalProcessLauncher& launcher, const TestTrust& trust,
                                       const std::string& folder, const std::string& registry) {
  if (!trust.key(ServiceId::kTraining).Save(folder + "/training.pem").ok()) std::exit(1);
  ProcessSpec spec;
  spec.program = Program("slipway-training");
  for (const std::string& setting :
       {"listen=unix:" + folder + "/training.sock", "admin_listen=unix:" + folder + "/t-admin.sock",
        "registry=" + registry, "identity_key=" + folder + "/training.pem",
        "trust_dir=" + trust.folder(), "database=sqlite:" + folder + "/training.db",
        "data_dir=" + folder}) {
    spec.args.push_back("--set");
    spec.args.push_back(setting);
  }
  spec.log_file = folder + "/training.log";
  return launcher.Launch(spec).value();
}

int Main() {
  const TempDir folder;
  const TestTrust trust;
  LocalProcessLauncher launcher;
  const TestArtifact artifact = SmallMlp(1);
  WorkerProcess worker(launcher, trust, {});
  worker.Load("mlp", artifact);
  const TestArtifact pump = Pump();
  worker.Load("pump", pump);
  controller::v1::RouteTable routes;
  routes.set_generation(1);
  AddRoute("mlp", worker.address(), artifact.signature, routes);
  AddRoute("pump", worker.address(), WhatCallersSeeOfPump(), routes);
  const gateway::FakePlatform platform(trust, folder / "platform.sock", routes);
  const std::string registry_socket = folder / "registry.sock";
  auto registry = std::make_unique<RegistryServer>(trust, folder.path().string(), registry_socket);
  const auto training = StartTraining(launcher, trust, folder.path().string(), registry->address());
  const gateway::GatewayProcess gateway(launcher, trust,
                                        {.registry = registry->address(),
                                         .training = "unix:" + (folder / "training.sock"),
                                         .controller = platform.address(),
                                         .settings = {},
                                         .wrapper = {}});
  const std::string& operator_key = gateway.operator_key();
  Post(gateway.address(), operator_key, "/api/v1/tenants?tenantId=acme", "{}");
  const auto make_key = [&](const std::string& role) {
    return Post(gateway.address(), operator_key, "/api/v1/tenants/acme/keys",
                R"({"role":")" + role + R"("})")["secret"];
  };
  std::cout << nlohmann::json{{"address", gateway.address()},
                              {"key", make_key("ROLE_OWNER")},
                              {"viewer_key", make_key("ROLE_VIEWER")},
                              {"operator_key", operator_key},
                              {"row", {1, 0.5, -2, 3}},
                              {"answer", SmallMlpAnswer(artifact, {1, 0.5F, -2, 3})}}
            << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    if (line == "registry off") registry.reset();
    if (line == "registry on") {
      registry = std::make_unique<RegistryServer>(trust, folder.path().string(), registry_socket);
    }
    std::cout << "done" << std::endl;
  }
  return 0;
}

}  // namespace
}  // namespace slipway

int main() { return slipway::Main(); }
