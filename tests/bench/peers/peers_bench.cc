// Slipway's worker beside other model servers, in one run: the same small CNN (28 x 28, float32,
// one picture a call) as ONNX, closed loops of 1, 8 and 64 callers.
//
//   - the worker over gRPC (Unix socket), and gateway and worker over HTTP with binary tensors
//   (TCP;
//     with a key, usage and metrics)
//   - PyTriton and MLServer over gRPC, LitServe over HTTP (TCP), each with its own batching and the
//     model in ONNX Runtime on one thread. They come from PyPI the first time; one that cannot be
//     had is left out, and said so
//   - the bare forward in ONNX Runtime and in OpenVINO, batches of 1, 8 and 32
//
// The servers run on one core, the callers on the other; CPU is user and system time of all of a
// server's processes. They take turns (there and back), and each figure is the median over the
// rounds. All answers are compared first.
//
//   peers_bench [seconds a measurement, default 1.2] [rounds, default 5]

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "common/files/files.h"
#include "common/http/client/client.h"
#include "common/nn/model_description.h"
#include "common/onnx/export.h"
#include "common/process/local_process_launcher.h"
#include "common/tensor/safetensors.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "tests/bench/bench.h"
#include "tests/bench/runtimes/onnx_runtime.h"
#include "tests/bench/serving/bare_model.h"
#include "tests/bench/serving/gateway_under_test.h"
#include "tests/bench/serving/load.h"
#include "tests/bench/serving/models.h"
#include "tests/bench/serving/server_process.h"
#include "tests/bench/serving/worker_calls.h"
#include "tests/support/eventually.h"
#include "tests/support/places.h"
#include "tests/support/serving/worker_process.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using nlohmann::json;

constexpr absl::Duration kWarmUp = absl::Milliseconds(500);
constexpr double kTarget = 2.5;
constexpr double kTolerance = 1e-5;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "peers_bench: %s\n", what.c_str());
  std::exit(1);
}

template <class T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) Die(value.status().ToString());
  return *std::move(value);
}

// User and system time so far of a process and all below it.
double TreeCpuMicros(int64_t root) {
  double micros = CpuMicros(root);
  for (const auto& thread :
       std::filesystem::directory_iterator(fmt::format("/proc/{}/task", root))) {
    std::ifstream children(thread.path() / "children");
    for (int64_t child; children >> child;) micros += TreeCpuMicros(child);
  }
  return micros;
}

int FreePort() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(fd, generic, size) != 0 || ::getsockname(fd, generic, &size) != 0) Die("no free port");
  ::close(fd);
  return ntohs(address.sin_port);
}

std::vector<float> AnswerOf(const inference::ModelInferResponse& response) {
  if (response.raw_output_contents_size() == 0) {
    const auto& values = response.outputs(0).contents().fp32_contents();
    return {values.begin(), values.end()};
  }
  const std::string& bytes = response.raw_output_contents(0);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

json BodyOf(const std::string& answer) {
  const size_t head = answer.find("\r\n\r\n");
  json body = head == std::string::npos ? json()
                                        : json::parse(answer.substr(head + 4), nullptr,
                                                      /*allow_exceptions=*/false);
  if (!answer.starts_with("HTTP/1.1 200") || !body.is_object()) Die("no answer: " + answer);
  return body;
}

using Event = std::function<void()>;

// What takes calls, and what it has shown so far.
struct Server {
  std::string name;
  bool ours = false;
  std::vector<int64_t> pids;  // with all below them
  std::function<std::vector<float>()> ask = {};
  std::function<LoadResult(int callers, absl::Duration time, const Event& start, const Event& end)>
      run = {};

  struct Row {
    std::vector<double> cpu_us;
    std::vector<double> rate;
    std::vector<double> p50_us;
    std::vector<double> p99_us;
  };
  std::map<int, Row> rows = {};

  void Measure(int callers, absl::Duration time) {
    const auto cpu = [this] {
      double micros = 0;
      for (const int64_t pid : pids) micros += TreeCpuMicros(pid);
      return micros;
    };
    double before = 0;
    double after = 0;
    const LoadResult result = run(
        callers, time, [&] { before = cpu(); }, [&] { after = cpu(); });
    if (result.failures > 0 || result.calls == 0) {
      Die(fmt::format("{}: {} of {} calls failed", name, result.failures, result.calls));
    }
    Row& row = rows[callers];
    row.cpu_us.push_back((after - before) / static_cast<double>(result.calls));
    row.rate.push_back(static_cast<double>(result.calls) / absl::ToDoubleSeconds(result.time));
    row.p50_us.push_back(result.p50_us);
    row.p99_us.push_back(result.p99_us);
  }
};

void SpeakGrpc(Server& server, GrpcLoad& load) {
  server.ask = [&load] { return AnswerOf(load.CallOnce()); };
  server.run = [&load](int callers, absl::Duration time, const Event& start, const Event& end) {
    return load.Run(callers, kWarmUp, time, start, end);
  };
}

void SpeakHttp(Server& server, int port, const std::string& request,
               const std::function<std::vector<float>(const json&)>& answer) {
  server.ask = [=] { return answer(BodyOf(HttpCallOnce(port, request))); };
  server.run = [=](int callers, absl::Duration time, const Event& start, const Event& end) {
    return RunHttpLoad(port, request, callers, kWarmUp, time, start, end);
  };
}

std::string OnnxOf(const TestArtifact& artifact) {
  const auto description = Must(nn::ModelDescription::Parse(artifact.description, ""));
  const auto weights = Must(SafetensorsFile::Parse(Buffer::Borrow(artifact.weights), "weights"));
  return Must(onnx::ExportOnnx(Must(description.BuildNetwork("")), weights.tensors()));
}

// The other servers, for as long as this lives.
class Peers {
 public:
  Peers(ProcessLauncher& launcher, std::string model)
      : launcher_(launcher), model_(std::move(model)) {}

  // By the Open Inference Protocol over gRPC.
  void AddGrpc(std::vector<Server>& servers, const std::string& title, const std::string& name,
               const inference::ModelInferRequest& request) {
    const int port = Start(name);
    if (port == 0) return;
    const auto channel =
        grpc::CreateChannel(fmt::format("127.0.0.1:{}", port), grpc::InsecureChannelCredentials());
    const auto stub = inference::GRPCInferenceService::NewStub(channel);
    const bool ready = Eventually([&] {
      grpc::ClientContext context;
      inference::ModelReadyRequest question;
      question.set_name(request.model_name());
      inference::ModelReadyResponse response;
      return stub->ModelReady(&context, question, &response).ok() && response.ready();
    });
    if (!ready) Die(title + " does not get ready");
    loads_.push_back(std::make_unique<GrpcLoad>(channel, &request, ""));
    SpeakGrpc(Add(servers, title), *loads_.back());
  }

  void AddLitServe(std::vector<Server>& servers, const std::vector<float>& picture) {
    const int port = Start("litserve");
    if (port == 0) return;
    const auto client = Must(http::Client::Create(fmt::format("http://127.0.0.1:{}", port)));
    const bool ready = Eventually([&] {
      const auto answer = client.Send({.target = "/health"});
      return answer.ok() && answer->status == 200;
    });
    if (!ready) Die("LitServe does not get ready");
    const absl::string_view bytes(reinterpret_cast<const char*>(picture.data()),
                                  picture.size() * sizeof(float));
    const std::string body = json{{"x", absl::Base64Escape(bytes)}}.dump();
    const std::string request = fmt::format(
        "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\n\r\n{}",
        body.size(), body);
    SpeakHttp(Add(servers, "LitServe, HTTP"), port, request,
              [](const json& answer) { return answer["y"].get<std::vector<float>>(); });
  }

 private:
  // Its port; 0 where it cannot be installed.
  int Start(const std::string& name) {
    const std::string script = SourceFile("tests/bench/peers/peer");
    if (std::system(fmt::format("{} install {} {}", script, PeerCache(), name).c_str()) != 0) {
      fmt::print("{} could not be installed: left out\n", name);
      return 0;
    }
    const int port = FreePort();
    processes_.push_back(std::make_unique<ServerProcess>(
        launcher_, script,
        std::vector<std::string>{"serve", PeerCache(), name, model_, std::to_string(port)}));
    return port;
  }

  Server& Add(std::vector<Server>& servers, const std::string& title) {
    servers.push_back({.name = title, .pids = {processes_.back()->pid()}});
    return servers.back();
  }

  ProcessLauncher& launcher_;
  const std::string model_;
  std::vector<std::unique_ptr<ServerProcess>> processes_;
  std::vector<std::unique_ptr<GrpcLoad>> loads_;
};

double DifferenceOf(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size() || a.empty()) Die("answers of different sizes");
  double most = 0;
  for (size_t i = 0; i < a.size(); ++i) most = std::max<double>(most, std::abs(a[i] - b[i]));
  return most;
}

void PrintRatios(const std::vector<Server>& servers, int callers) {
  const Server& worker = servers.front();
  const Server* by_cpu = nullptr;
  const Server* by_wall = nullptr;
  const auto cpu_us = [&](const Server& of) { return Median(of.rows.at(callers).cpu_us); };
  const auto rate = [&](const Server& of) { return Median(of.rows.at(callers).rate); };
  for (const Server& peer : servers) {
    if (peer.ours) continue;
    if (by_cpu == nullptr || cpu_us(peer) < cpu_us(*by_cpu)) by_cpu = &peer;
    if (by_wall == nullptr || rate(peer) > rate(*by_wall)) by_wall = &peer;
  }
  if (by_cpu == nullptr) return;
  const double cpu_ratio = cpu_us(*by_cpu) / cpu_us(worker);
  const double wall_ratio = rate(worker) / rate(*by_wall);
  fmt::print(
      "{:>2} callers: the worker answers {:.1f} times as many pictures a CPU second as the best "
      "peer "
      "({}), {:.1f} times as many by the clock ({}); target {:.1f}, {}\n",
      callers, cpu_ratio, by_cpu->name, wall_ratio, by_wall->name, kTarget,
      std::min(cpu_ratio, wall_ratio) >= kTarget ? "met" : "MISSED");
}

int Main(absl::Duration time, int rounds) {
  if (!BeginBench("peers_bench").ok()) return 1;

  const TempDir dir;
  const TestArtifact cnn = BenchCnn();
  const std::string onnx_file = dir / "model.onnx";
  if (!WriteFileAtomically(onnx_file, OnnxOf(cnn)).ok()) Die("cannot write the model");
  // The bare runs have the server's core, since all take turns.
  PinTo(kServerCore);
  BareModel openvino("openvino", cnn);
  PinTo(CallerCore());

  LocalProcessLauncher launcher;
  const TestTrust trust;
  WorkerProcess worker(
      launcher, trust,
      {.settings = {}, .wrapper = {"/usr/bin/taskset", "-c", std::to_string(kServerCore)}});
  worker.Load("cnn", cnn);
  const GatewayUnderTest gateway(launcher, trust, worker.address(), {"cnn"});
  std::vector<float> picture;
  const inference::ModelInferRequest request = InferRequest("cnn", kCnnShape, picture);
  inference::ModelInferRequest peer_request = request;
  peer_request.set_model_name("cnn");
  peer_request.clear_model_version();

  std::vector<Server> servers;
  GrpcLoad worker_load(worker.address(), &request, GatewayToken(trust));
  servers.push_back({.name = "Slipway worker, gRPC", .ours = true, .pids = {worker.pid()}});
  SpeakGrpc(servers.back(), worker_load);
  const std::string head =
      fmt::format(R"({{"inputs":[{{"name":"x","shape":[1,28,28],"datatype":"FP32",)"
                  R"("parameters":{{"binary_data_size":{}}}}}]}})",
                  picture.size() * sizeof(float));
  servers.push_back({.name = "Slipway gateway and worker, HTTP",
                     .ours = true,
                     .pids = {gateway.pid(), worker.pid()}});
  SpeakHttp(
      servers.back(), gateway.port(),
      gateway.InferRequest("cnn", head + request.raw_input_contents(0),
                           fmt::format("Inference-Header-Content-Length: {}\r\n", head.size())),
      [](const json& answer) { return answer["outputs"][0]["data"].get<std::vector<float>>(); });
  Peers peers(launcher, onnx_file);
  peers.AddGrpc(servers, "PyTriton, gRPC", "pytriton", peer_request);
  peers.AddGrpc(servers, "MLServer, gRPC", "mlserver", peer_request);
  peers.AddLitServe(servers, picture);

  const std::vector<float> expected = servers.front().ask();
  double most = 0;
  for (const Server& server : servers) most = std::max(most, DifferenceOf(expected, server.ask()));
  const auto bare = RunOnnxRuntime(onnx_file, Shape(kCnnShape), absl::Milliseconds(100));
  if (bare) most = std::max(most, DifferenceOf(expected, bare->answer));
  if (most > kTolerance) Die(fmt::format("answers differ by {}", most));
  fmt::print("answers differ by {:.1g} at most\n", most);

  const std::vector<int> all_callers = {1, 8, 64};
  const std::vector<int64_t> batches = {1, 8, 32};
  std::map<int64_t, std::vector<double>> onnx_us;
  std::map<int64_t, std::vector<double>> openvino_us;
  for (int round = 0; round < rounds; ++round) {
    PinTo(kServerCore);
    for (const int64_t rows : batches) {
      openvino_us[rows].push_back(openvino.MicrosPerRow(rows));
      const auto run = RunOnnxRuntime(onnx_file, Shape({rows, 28, 28}), absl::Milliseconds(300));
      if (run) onnx_us[rows].push_back(run->cpu_us / static_cast<double>(rows));
    }
    PinTo(CallerCore());
    for (const int callers : all_callers) {
      for (size_t i = 0; i < servers.size(); ++i) {
        servers[round % 2 == 0 ? i : servers.size() - 1 - i].Measure(callers, time);
      }
    }
  }

  fmt::print("\n{:<34} {:>8} {:>12} {:>10} {:>10} {:>10}\n", "CNN 28x28, float32", "callers",
             "CPU us/pic", "pics/s", "p50 ms", "p99 ms");
  for (const Server& server : servers) {
    for (const auto& [callers, row] : server.rows) {
      fmt::print("{:<34} {:>8} {:>12.1f} {:>10.0f} {:>10.2f} {:>10.2f}\n", server.name, callers,
                 Median(row.cpu_us), Median(row.rate), Median(row.p50_us) / 1000,
                 Median(row.p99_us) / 1000);
    }
  }
  for (const int64_t rows : batches) {
    fmt::print("bare batch {:<2}  OpenVINO {:>6.1f} us/pic   ONNX Runtime {:>6.1f} us/pic\n", rows,
               Median(openvino_us[rows]), Median(onnx_us[rows]));
  }
  for (const int callers : all_callers) PrintRatios(servers, callers);
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  return slipway::Main(absl::Seconds(argc > 1 ? std::atof(argv[1]) : 1.2),
                       argc > 2 ? std::atoi(argv[2]) : 5);
}
