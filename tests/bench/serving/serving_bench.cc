// What serving costs, beside what it cannot cost less than, in one run:
//
//   (a) an empty unary call: the same server set-up, callback API and Unix socket, no work;
//       beside it (b)'s messages, token and deadline with an answer that is always the same
//   (b) the worker's ModelInfer on a small MLP, and the bare forward of that MLP
//   (c) the same through the gateway over HTTP/JSON, with a key, usage and metrics: the CPU time of
//       gateway and worker together
//   (d) a small CNN, for the proportion
//
// Closed loops of 1, 4 and 32 callers on one channel, for (c) on a connection each. The servers run
// on one core, the callers on the other; its CPU time is /proc's user and system time. What is
// compared runs in turns (a b c, then c b a, ...), and each figure is the median over the rounds,
// each ratio the median of the rounds' ratios.
//
//   serving_bench [seconds a measurement, default 1] [rounds, default 7] [callers, default 1 4 32]

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/grpc/client.h"
#include "common/process/local_process_launcher.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "tests/bench/bench.h"
#include "tests/bench/serving/bare_forward.h"
#include "tests/bench/serving/floor_server.h"
#include "tests/bench/serving/gateway_under_test.h"
#include "tests/bench/serving/load.h"
#include "tests/bench/serving/models.h"
#include "tests/bench/serving/server_process.h"
#include "tests/bench/serving/worker_calls.h"
#include "tests/support/serving/worker_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway {
namespace {

constexpr double kTargetInfer = 1.4;
constexpr double kTargetGateway = 3.5;
constexpr absl::Duration kWarmUp = absl::Milliseconds(200);

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "serving_bench: %s\n", what.c_str());
  std::exit(1);
}

// The rounds of one row of the table.
struct Row {
  std::vector<double> cpu_us;
  std::vector<double> p50_us;
  std::vector<double> p99_us;
  std::vector<double> calls_a_second;

  void Add(const LoadResult& result, double cpu) {
    if (result.failures > 0) Die(fmt::format("{} calls failed", result.failures));
    cpu_us.push_back(cpu / static_cast<double>(result.calls));
    p50_us.push_back(result.p50_us);
    p99_us.push_back(result.p99_us);
    calls_a_second.push_back(static_cast<double>(result.calls) /
                             absl::ToDoubleSeconds(result.time));
  }
};

// Ends the program unless a server answered what the bare forward does.
void CheckAnswer(const std::vector<float>& answer, const TestArtifact& artifact,
                 const std::vector<int64_t>& shape, const std::vector<float>& input) {
  const std::vector<float> expected = BareForward(artifact, shape).Answer(input);
  if (answer.size() != expected.size()) Die("an answer has another size than the forward's");
  for (size_t i = 0; i < expected.size(); ++i) {
    if (std::abs(answer[i] - expected[i]) > 1e-6F) Die("an answer differs from the forward's");
  }
}

std::vector<float> AnswerOf(GrpcLoad& load) {
  const inference::ModelInferResponse response = load.CallOnce();
  const std::string& bytes = response.raw_output_contents(0);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

std::vector<float> AnswerOf(int port, const std::string& request) {
  const std::string answer = HttpCallOnce(port, request);
  if (!answer.starts_with("HTTP/1.1 200")) Die("the gateway answers " + answer);
  const auto body = nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4));
  return body.at("outputs").at(0).at("data").get<std::vector<float>>();
}

// CPU microseconds of one bare forward.
class ForwardMeter {
 public:
  ForwardMeter(ProcessLauncher& launcher, const std::string& self)
      : socket_(dir_ / "forward.sock"),
        process_(launcher, self, {"forward-server", socket_}),
        stub_(inference::GRPCInferenceService::NewStub(
            *OpenChannel({.address = "unix:" + socket_, .tls = {}}))) {
    for (const char* model : {"mlp", "cnn"}) Measure(model, 100);
  }
  double Measure(const std::string& model, int count) {
    inference::ModelReadyRequest request;
    request.set_name(model);
    request.set_version(std::to_string(count));
    inference::ModelReadyResponse response;
    grpc::ClientContext context;
    PrepareContext(context, {.wait_for_ready = true});
    const double before = CpuMicros(process_.pid());
    const grpc::Status status = stub_->ModelReady(&context, request, &response);
    if (!status.ok()) Die("bare forward: " + status.error_message());
    return (CpuMicros(process_.pid()) - before) / count;
  }

 private:
  TempDir dir_;
  const std::string socket_;
  ServerProcess process_;
  const std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
};

void Print(const char* name, int callers, const Row& row) {
  std::printf("%-34s %8d %12.0f %12.1f %10.1f %10.1f\n", name, callers, Median(row.calls_a_second),
              Median(row.cpu_us), Median(row.p50_us), Median(row.p99_us));
}

int Main(const std::string& self, double seconds, int rounds, const std::vector<int>& all_callers) {
  if (!BeginBench("serving_bench").ok()) return 1;
  PinTo(CallerCore());

  LocalProcessLauncher launcher;
  const TempDir dir;
  const ServerProcess empty(launcher, self, {"empty-server", dir / "empty.sock"});
  const TestTrust trust;
  WorkerProcess worker(
      launcher, trust,
      {.settings = {}, .wrapper = {"/usr/bin/taskset", "-c", std::to_string(kServerCore)}});
  ForwardMeter forward(launcher, self);
  const TestArtifact mlp = BenchMlp();
  const TestArtifact cnn = BenchCnn();
  worker.Load("mlp", mlp);
  worker.Load("cnn", cnn);

  const std::string token = GatewayToken(trust);
  std::vector<float> mlp_input;
  std::vector<float> cnn_input;
  const inference::ModelInferRequest mlp_request = InferRequest("mlp", kMlpShape, mlp_input);
  const inference::ModelInferRequest cnn_request = InferRequest("cnn", kCnnShape, cnn_input);
  GrpcLoad empty_load("unix:" + (dir / "empty.sock"), nullptr, "");
  GrpcLoad canned_load("unix:" + (dir / "empty.sock"), &mlp_request, token);
  GrpcLoad mlp_load(worker.address(), &mlp_request, token);
  GrpcLoad cnn_load(worker.address(), &cnn_request, token);
  CheckAnswer(AnswerOf(mlp_load), mlp, kMlpShape, mlp_input);
  CheckAnswer(AnswerOf(cnn_load), cnn, kCnnShape, cnn_input);
  const GatewayUnderTest gateway(launcher, trust, worker.address(), {"mlp"});
  const std::string mlp_http =
      gateway.InferRequest("mlp", GatewayUnderTest::InferBody(kMlpShape, mlp_input));
  CheckAnswer(AnswerOf(gateway.port(), mlp_http), mlp, kMlpShape, mlp_input);

  using Event = std::function<void()>;
  using Run = std::function<LoadResult(int callers, absl::Duration time, const Event& on_start,
                                       const Event& on_end)>;
  const auto by_grpc = [](GrpcLoad& load) -> Run {
    return [&load](int callers, absl::Duration time, const Event& on_start, const Event& on_end) {
      return load.Run(callers, kWarmUp, time, on_start, on_end);
    };
  };
  const Run by_http = [&](int callers, absl::Duration time, const Event& on_start,
                          const Event& on_end) {
    return RunHttpLoad(gateway.port(), mlp_http, callers, kWarmUp, time, on_start, on_end);
  };
  struct Subject {
    const char* name;
    Run run;
    std::vector<int64_t> pids;  // whose CPU time is counted
    std::map<int, Row> rows;
  };
  Subject subjects[] = {
      {"(a) empty gRPC call", by_grpc(empty_load), {empty.pid()}, {}},
      {"    (b)'s messages, answer canned", by_grpc(canned_load), {empty.pid()}, {}},
      {"(b) ModelInfer, small MLP", by_grpc(mlp_load), {worker.pid()}, {}},
      {"(c) the same through the gateway", by_http, {gateway.pid(), worker.pid()}, {}},
      {"(d) ModelInfer, CNN 28x28", by_grpc(cnn_load), {worker.pid()}, {}}};
  const Subject& floor = subjects[0];
  const Subject& canned = subjects[1];
  const Subject& infer = subjects[2];
  const Subject& through = subjects[3];
  const auto cpu_of = [](const std::vector<int64_t>& pids) {
    double micros = 0;
    for (const int64_t pid : pids) micros += CpuMicros(pid);
    return micros;
  };
  const absl::Duration time = absl::Seconds(seconds);
  std::vector<double> mlp_forward;
  std::vector<double> cnn_forward;
  for (int round = 0; round < rounds; ++round) {
    mlp_forward.push_back(forward.Measure("mlp", 100'000));
    cnn_forward.push_back(forward.Measure("cnn", 1'500));
    for (const int callers : all_callers) {
      for (size_t i = 0; i < std::size(subjects); ++i) {
        // There and back, so that a drift of the machine favours nobody.
        Subject& subject = subjects[round % 2 == 0 ? i : std::size(subjects) - 1 - i];
        double before = 0;
        double after = 0;
        const LoadResult result = subject.run(
            callers, time, [&] { before = cpu_of(subject.pids); },
            [&] { after = cpu_of(subject.pids); });
        subject.rows[callers].Add(result, after - before);
      }
    }
  }

  std::printf("%-34s %8s %12s %12s %10s %10s\n", "", "callers", "calls/s", "server CPU us",
              "p50 us", "p99 us");
  for (const Subject& subject : subjects) {
    for (const auto& [callers, row] : subject.rows) Print(subject.name, callers, row);
  }
  std::printf("bare forward, CPU us: MLP %.1f, CNN %.1f\n\n", Median(mlp_forward),
              Median(cnn_forward));
  bool met = true;
  for (const int callers : all_callers) {
    const std::vector<double>& empty_us = floor.rows.at(callers).cpu_us;
    std::vector<double> ratios;
    std::vector<double> canned_ratios;
    std::vector<double> gateway_ratios;
    for (size_t round = 0; round < mlp_forward.size(); ++round) {
      ratios.push_back((infer.rows.at(callers).cpu_us[round] - mlp_forward[round]) /
                       empty_us[round]);
      canned_ratios.push_back(canned.rows.at(callers).cpu_us[round] / empty_us[round]);
      gateway_ratios.push_back(
          (through.rows.at(callers).cpu_us[round] - infer.rows.at(callers).cpu_us[round]) /
          empty_us[round]);
    }
    const double ratio = Median(ratios);
    const double gateway_ratio = Median(gateway_ratios);
    met = met && ratio <= kTargetInfer && gateway_ratio <= kTargetGateway;
    std::printf(
        "%2d callers: (b) less the forward is %.2f of (a), target <= %.1f, %s; "
        "gRPC alone takes %.2f for these messages\n",
        callers, ratio, kTargetInfer, ratio <= kTargetInfer ? "met" : "MISSED",
        Median(canned_ratios));
    std::printf("            (c) adds %.2f of (a), target <= %.1f, %s\n", gateway_ratio,
                kTargetGateway, gateway_ratio <= kTargetGateway ? "met" : "MISSED");
  }
  std::printf("%s\n", met ? "all targets met" : "targets missed");
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "empty-server") == 0) {
    return slipway::RunEmptyServer(argv[2]);
  }
  if (argc == 3 && std::strcmp(argv[1], "forward-server") == 0) {
    return slipway::RunForwardServer(argv[2]);
  }
  std::vector<int> callers;
  for (int i = 3; i < argc; ++i) callers.push_back(std::atoi(argv[i]));
  if (callers.empty()) callers = {1, 4, 32};
  return slipway::Main(std::filesystem::read_symlink("/proc/self/exe").string(),
                       argc > 1 ? std::atof(argv[1]) : 1, argc > 2 ? std::atoi(argv[2]) : 7,
                       callers);
}
