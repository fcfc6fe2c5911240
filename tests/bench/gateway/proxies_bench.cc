// What the gateway costs a call, with key, limits, price, ledger and metrics, beside other proxies
// in front of the same backend: nginx that does nothing but pass on, and Envoy that asks ext_authz
// and a rate limit service for each call. Each proxy runs with one worker on one core, the callers
// on the other; what is counted is its own CPU time, not that of what it asks. Rounds alternate;
// each figure is the median, the ratio that of each round. Then, at half the gateway's rate and at
// random times, what it adds to the p99 of the backend called straight.
//
//   proxies_bench [seconds a measurement, default 1] [rounds, default 7]
//
// nginx and envoy come by `deploy/bootstrap bench`; one that is not there is left out.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/http/grpc/messages.h"
#include "common/http/server/server.h"
#include "common/process/local_process_launcher.h"
#include "common/process/shutdown.h"
#include "fmt/format.h"
#include "inference/open_inference.pb.h"
#include "tests/bench/bench.h"
#include "tests/bench/serving/gateway_under_test.h"
#include "tests/bench/serving/load.h"
#include "tests/bench/serving/server_process.h"
#include "tests/integration/http/raw_peer.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

constexpr int kCallers = 8;
constexpr double kNginxTarget = 2.0;
constexpr double kEnvoyTarget = 0.4;
constexpr double kAddedMillisTarget = 1.0;
constexpr int kConnections = 200;

// The backend of all: the worker over gRPC, the same answer over HTTP/1.1, and what Envoy asks.
class Backend final : public http::Handler {
 public:
  Backend() {
    inference::ModelInferResponse response;
    response.set_model_name("m");
    response.set_model_version("1");
    auto& output = *response.add_outputs();
    output.set_name("y");
    output.set_datatype("FP32");
    output.add_shape(1);
    output.add_shape(2);
    response.add_raw_output_contents(std::string(8, '\0'));
    infer_ = http::grpc::FrameOf(response);
  }

  void Handle(std::shared_ptr<http::Exchange> exchange) override {
    http::Exchange& asked = *exchange;
    asked.ReadBody(
        1 << 20, [this, exchange = std::move(exchange)](const absl::StatusOr<std::string>& body) {
          if (!body.ok()) return;
          const std::string_view path = exchange->head().path();
          if (path == "/inference.GRPCInferenceService/ModelInfer")
            return Answer(*exchange, infer_);
          // An empty CheckResponse is OK; RateLimitResponse.overall_code = OK.
          if (path.ends_with("/Check")) return Answer(*exchange, Frame(""));
          if (path.ends_with("/ShouldRateLimit")) return Answer(*exchange, Frame("\x08\x01"));
          http::Response response;
          response.headers.Add("content-type", "application/json");
          response.body =
              R"({"model_name":"m","model_version":"1","outputs":[{"name":"y","shape":[1,2],)"
              R"("datatype":"FP32","data":[0,0]}]})";
          exchange->Respond(std::move(response));
        });
  }

 private:
  static std::string Frame(std::string_view message) {
    std::string frame(5, '\0');
    frame[4] = static_cast<char>(message.size());
    return frame.append(message);
  }
  static void Answer(http::Exchange& exchange, const std::string& frame) {
    exchange.Respond({.headers = {{"content-type", "application/grpc"}},
                      .body = frame,
                      .trailers = {{"grpc-status", "0"}}});
  }

  std::string infer_;
};

int RunBackend(const std::string& socket, const std::string& port) {
  ShutdownSignal shutdown;
  Backend backend;
  std::vector<std::unique_ptr<http::Server>> servers;
  for (const std::string& address : {"unix:" + socket, "127.0.0.1:" + port}) {
    http::ServerOptions options;
    options.address = address;
    auto server = http::Server::Start(options, backend);
    if (!server.ok()) {
      std::fprintf(stderr, "%s\n", server.status().ToString().c_str());
      return 1;
    }
    servers.push_back(*std::move(server));
  }
  shutdown.Wait();
  return 0;
}

int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::perror("bind");
    std::exit(1);
  }
  ::close(fd);
  return ntohs(address.sin_port);
}

// Where bootstrap puts it, or on this machine; "" for nowhere.
std::string Find(const std::string& in_cache, const std::string& on_machine) {
  const std::string cached = std::string(SLIPWAY_CACHE) + "/" + in_cache;
  if (std::filesystem::exists(cached)) return cached;
  return std::filesystem::exists(on_machine) ? on_machine : "";
}

std::string WriteFile(const TempDir& dir, const std::string& name, const std::string& text) {
  std::ofstream(dir / name) << text;
  return dir / name;
}

std::string NginxConfig(const TempDir& dir, int port, int backend) {
  return fmt::format(R"(daemon off;
master_process off;
worker_processes 1;
pid {0}/nginx.pid;
error_log stderr error;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {0}/body;
  proxy_temp_path {0}/proxy;
  fastcgi_temp_path {0}/fastcgi;
  uwsgi_temp_path {0}/uwsgi;
  scgi_temp_path {0}/scgi;
  upstream backend {{
    server 127.0.0.1:{2};
    keepalive 64;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{1};
    location / {{
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
    }}
  }}
}}
)",
                     dir.path().string(), port, backend);
}

std::string EnvoyCluster(const char* name, int port, bool http2) {
  const char* const protocol = http2 ? R"(
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}})"
                                     : "";
  return fmt::format(R"(
  - name: {0}
    type: STATIC{2}
    load_assignment:
      cluster_name: {0}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {1}}}}})",
                     name, port, protocol);
}

std::string EnvoyConfig(int port, int backend) {
  return fmt::format(R"(
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: door
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route:
                  cluster: backend
                  rate_limits:
                  - actions: [{{request_headers: {{header_name: authorization, descriptor_key: key}}}}]
          http_filters:
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              grpc_service: {{envoy_grpc: {{cluster_name: asked}}, timeout: 5s}}
          - name: envoy.filters.http.ratelimit
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
              domain: slipway
              timeout: 5s
              failure_mode_deny: true
              rate_limit_service:
                transport_api_version: V3
                grpc_service: {{envoy_grpc: {{cluster_name: asked}}}}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:{}{}
)",
                     port, EnvoyCluster("backend", backend, false),
                     EnvoyCluster("asked", backend, true));
}

struct Proxy {
  std::string name;
  int port = 0;
  int64_t pid = 0;
  std::vector<double> cpu_us = {};
  std::vector<double> calls_a_second = {};
  std::vector<double> p99_us = {};

  void Measure(const std::string& request, absl::Duration time) {
    double before = 0;
    double after = 0;
    const LoadResult result = RunHttpLoad(
        port, request, kCallers, absl::Milliseconds(200), time, [&] { before = CpuMicros(pid); },
        [&] { after = CpuMicros(pid); });
    if (result.failures > 0 || result.calls == 0) {
      std::fprintf(stderr, "%s: %s\n", name.c_str(), HttpCallOnce(port, request).c_str());
      std::exit(1);
    }
    cpu_us.push_back((after - before) / static_cast<double>(result.calls));
    calls_a_second.push_back(static_cast<double>(result.calls) /
                             absl::ToDoubleSeconds(result.time));
    p99_us.push_back(result.p99_us);
  }
};

// The p99 of calls at random times, in milliseconds.
double OpenP99(int port, const std::string& request, double rate, absl::Duration time) {
  const HttpFlowResult flow = RunHttpFlows(port, {{request, rate}}, kConnections, time).front();
  if (flow.failed + static_cast<int64_t>(flow.refused.size()) > 0) {
    std::fprintf(stderr, "port %d: of %ld calls %zu were refused and %ld failed\n", port, flow.sent,
                 flow.refused.size(), flow.failed);
    std::exit(1);
  }
  return QuantileMillis(flow.answered, 0.99);
}

// All that can be limited is, far above what is called here.
void LimitEverything(const GatewayUnderTest& gateway) {
  const auto put = [&](const std::string& path, const std::string& body) {
    const std::string answer = HttpCallOnce(
        gateway.port(), fmt::format("PUT {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n"
                                    "Content-Length: {}\r\n\r\n{}",
                                    path, gateway.operator_key(), body.size(), body));
    if (answer.starts_with("HTTP/1.1 200")) return;
    std::fprintf(stderr, "%s: %s\n", path.c_str(), answer.c_str());
    std::exit(1);
  };
  const std::string limits =
      R"({"requestsPerMinute":1000000000,"tokensPerMinute":1000000000,"concurrency":1000,)"
      R"("budget":{"microUnits":1000000000000,"period":"MONTH"}})";
  put("/api/v1/tenants/acme/limits", limits);
  // slw_<environment>_<key id>_...
  const std::string& key = gateway.key();
  const size_t id = key.find('_', key.find('_') + 1) + 1;
  put(fmt::format("/api/v1/tenants/acme/keys/{}/limits", key.substr(id, key.find('_', id) - id)),
      limits);
  put("/api/v1/prices/all", R"({"match":"*","requestMicroUnits":1,"computeSecondMicroUnits":10})");
}

int Main(const std::string& self, double seconds, int rounds) {
  if (!BeginBench("proxies_bench").ok()) return 1;
  PinTo(CallerCore());
  LocalProcessLauncher launcher;
  const TempDir dir;
  const TestTrust trust;
  const int backend_port = FreePort();
  const ServerProcess backend(launcher, self,
                              {"backend", dir / "worker.sock", std::to_string(backend_port)});
  const GatewayUnderTest gateway(launcher, trust, "unix:" + (dir / "worker.sock"), {"m"});
  LimitEverything(gateway);

  std::vector<Proxy> proxies = {
      {.name = "slipway-gateway", .port = gateway.port(), .pid = gateway.pid()}};
  std::vector<std::unique_ptr<ServerProcess>> processes;
  const auto add = [&](const std::string& name, const std::string& program,
                       const std::function<std::vector<std::string>(int port)>& arguments) {
    if (program.empty())
      return std::printf("%s is not there: deploy/bootstrap bench\n", name.c_str());
    const int port = FreePort();
    processes.push_back(std::make_unique<ServerProcess>(launcher, program, arguments(port)));
    proxies.push_back({.name = name, .port = port, .pid = processes.back()->pid()});
    if (!Eventually([&] { return http::RawPeer::CanConnect(fmt::format("127.0.0.1:{}", port)); })) {
      std::exit(1);
    }
    return 0;
  };
  add("nginx", Find("bin/nginx", "/usr/sbin/nginx"), [&](int port) {
    return std::vector<std::string>{
        "-e", "stderr",
        "-p", dir.path().string(),
        "-c", WriteFile(dir, "nginx.conf", NginxConfig(dir, port, backend_port))};
  });
  add("envoy, ext_authz, ratelimit", Find("envoy/envoy/_bin/envoy", "/usr/bin/envoy"),
      [&](int port) {
        return std::vector<std::string>{
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "--log-level",
            "error",
            "-c",
            WriteFile(dir, "envoy.yaml", EnvoyConfig(port, backend_port))};
      });

  const std::string request =
      gateway.InferRequest("m", GatewayUnderTest::InferBody({1, 2}, {0.5F, 1.5F}));
  for (int round = 0; round < rounds; ++round) {
    for (Proxy& proxy : proxies) proxy.Measure(request, absl::Seconds(seconds));
  }
  std::printf("%-30s %10s %12s %10s\n", "", "CPU us", "calls/s", "p99 us");
  for (const Proxy& proxy : proxies) {
    std::printf("%-30s %10.1f %12.0f %10.0f\n", proxy.name.c_str(), Median(proxy.cpu_us),
                Median(proxy.calls_a_second), Median(proxy.p99_us));
  }
  for (size_t i = 1; i < proxies.size(); ++i) {
    std::vector<double> ratios;
    for (int round = 0; round < rounds; ++round) {
      ratios.push_back(proxies[0].cpu_us[round] / proxies[i].cpu_us[round]);
    }
    const double target = proxies[i].name == "nginx" ? kNginxTarget : kEnvoyTarget;
    std::printf("%.2f times %s, target <= %.1f, %s\n", Median(ratios), proxies[i].name.c_str(),
                target, Median(ratios) <= target ? "met" : "MISSED");
  }

  const double rate = Median(proxies[0].calls_a_second) / 2;
  std::vector<double> straight;
  std::vector<double> through;
  std::vector<double> added;
  for (int round = 0; round < rounds; ++round) {
    straight.push_back(OpenP99(backend_port, request, rate, absl::Seconds(seconds)));
    through.push_back(OpenP99(gateway.port(), request, rate, absl::Seconds(seconds)));
    added.push_back(through.back() - straight.back());
  }
  std::printf("%.0f calls/s: p99 %.2f ms, the backend's own %.2f; added %.2f, target < %.1f, %s\n",
              rate, Median(through), Median(straight), Median(added), kAddedMillisTarget,
              Median(added) < kAddedMillisTarget ? "met" : "MISSED");
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "backend") == 0) {
    return slipway::RunBackend(argv[2], argv[3]);
  }
  return slipway::Main(std::filesystem::read_symlink("/proc/self/exe").string(),
                       argc > 1 ? std::atof(argv[1]) : 1, argc > 2 ? std::atoi(argv[2]) : 7);
}
