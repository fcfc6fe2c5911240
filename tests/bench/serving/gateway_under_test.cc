#include "tests/bench/serving/gateway_under_test.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "nlohmann/json.hpp"
#include "tests/bench/serving/load.h"
#include "tests/bench/serving/server_process.h"

namespace slipway {
namespace {

std::string Render(const std::string& path, const std::string& key, const std::string& body,
                   const std::string& more_headers) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {}\r\n"
      "User-Agent: serving_bench\r\nAccept: */*\r\nContent-Type: application/json\r\n"
      "{}Content-Length: {}\r\n\r\n{}",
      path, key, more_headers, body.size(), body);
}

nlohmann::json Post(int port, const std::string& path, const std::string& key,
                    const std::string& body) {
  const std::string answer = HttpCallOnce(port, Render(path, key, body, ""));
  if (!answer.starts_with("HTTP/1.1 200")) {
    std::fprintf(stderr, "POST %s: %s\n", path.c_str(), answer.c_str());
    std::exit(1);
  }
  return nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
}

controller::v1::RouteTable Routes(const std::string& worker,
                                  const std::vector<std::string>& deployments) {
  controller::v1::RouteTable table;
  table.set_generation(1);
  for (const std::string& deployment : deployments) {
    controller::v1::Route& route = *table.add_routes();
    route.set_deployment("tenants/acme/deployments/" + deployment);
    controller::v1::Route::Target& target = *route.add_targets();
    target.set_model_version(fmt::format("tenants/acme/models/{}/versions/1", deployment));
    target.set_weight(100);
    target.add_workers(worker);
  }
  return table;
}

}  // namespace

GatewayUnderTest::GatewayUnderTest(ProcessLauncher& launcher, const TestTrust& trust,
                                   const std::string& worker,
                                   const std::vector<std::string>& deployments,
                                   const std::vector<std::string>& settings)
    : platform_(trust, folder_ / "platform.sock", Routes(worker, deployments)),
      process_(launcher, trust,
               {.registry = platform_.address(),
                .training = platform_.address(),
                .controller = platform_.address(),
                .settings = settings,
                .wrapper = {"/usr/bin/taskset", "-c", std::to_string(kServerCore)}}) {
  Post(port(), "/api/v1/tenants?tenantId=acme", process_.operator_key(), "{}");
  key_ = Post(port(), "/api/v1/tenants/acme/keys", process_.operator_key(),
              R"({"role":"ROLE_CALLER"})")["secret"];
}

std::string GatewayUnderTest::InferRequest(const std::string& deployment, const std::string& body,
                                           const std::string& more_headers) const {
  return Render(fmt::format("/v2/models/{}/infer", deployment), key_, body, more_headers);
}

std::string GatewayUnderTest::InferBody(const std::vector<int64_t>& shape,
                                        const std::vector<float>& values) {
  return fmt::format(R"({{"inputs":[{{"name":"x","shape":[{}],"datatype":"FP32","data":[{}]}}]}})",
                     fmt::join(shape, ","), fmt::join(values, ","));
}

}  // namespace slipway
