// Many models on one worker: 100 deployments of small CNNs, memory for 20.
//
//   - an open loop (Poisson) of calls to one model alone, then the same rate over all of them by
//     Zipf's law: no call may fail, and the five that are called most, which are in memory, should
//     answer as quickly as the one did. The others come back to memory when they are called
//   - a model is loaded, called and unloaded again and again: what the worker's process holds
//     after the fifth time and at the end
//
// The worker has one core, the callers the other.
//
//   models_bench [seconds a measurement, default 20] [calls a second, default 40] [cycles, default
//   200]

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "common/grpc/client.h"
#include "common/log/log.h"
#include "common/process/local_process_launcher.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "inference/open_inference.grpc.pb.h"
#include "tests/bench/serving/models.h"
#include "tests/bench/serving/server_process.h"
#include "tests/bench/serving/worker_calls.h"
#include "tests/support/serving/worker_process.h"

namespace slipway {
namespace {

constexpr int kModels = 100;
constexpr int kInMemory = 20;
constexpr size_t kPopular = 5;
constexpr size_t kRare = 50;
constexpr int kFirstCycles = 5;
constexpr absl::Duration kDeadline = absl::Seconds(10);

std::string NameOf(int model) { return fmt::format("m{}", model); }

// Calls under way, and what became of those that ended.
class OpenLoop {
 public:
  OpenLoop(const std::string& address, std::string token)
      : token_(std::move(token)),
        stub_(inference::GRPCInferenceService::NewStub(
            *OpenChannel({.address = address, .tls = {}}))) {
    for (int model = 0; model < kModels; ++model) {
      std::vector<float> input;
      requests_.push_back(InferRequest(NameOf(model), kCnnShape, input));
    }
  }

  struct Result {
    int64_t calls = 0;
    int64_t failures = 0;
    std::string failure;
    // By model, in milliseconds.
    std::vector<std::vector<double>> latencies = std::vector<std::vector<double>>(kModels);

    double Quantile(double q, size_t from, size_t to) const {
      std::vector<double> all;
      for (size_t model = from; model < to; ++model) {
        all.insert(all.end(), latencies[model].begin(), latencies[model].end());
      }
      std::sort(all.begin(), all.end());
      if (all.empty()) return NAN;
      return all[std::min(all.size() - 1,
                          static_cast<size_t>(q * static_cast<double>(all.size())))];
    }
  };

  // Ends the program where the call fails.
  void CallOnce(const inference::ModelInferRequest& request) {
    grpc::ClientContext context;
    PrepareContext(context, {.token = token_, .wait_for_ready = true});
    inference::ModelInferResponse response;
    const grpc::Status status = stub_->ModelInfer(&context, request, &response);
    if (status.ok()) return;
    std::fprintf(stderr, "models_bench: %s\n", status.error_message().c_str());
    std::exit(1);
  }

  // Model k is called as often as 1 / (k + 1) says, of the first `models`.
  Result Run(int models, double rate, absl::Duration time) {
    std::vector<double> weights;
    for (int model = 0; model < models; ++model) weights.push_back(1.0 / (model + 1));
    std::discrete_distribution<size_t> choose(weights.begin(), weights.end());
    std::exponential_distribution<double> pause(rate);
    std::mt19937_64 random(1);
    const Clock& clock = Clock::Real();
    absl::Duration next = clock.Monotonic();
    const absl::Duration end = next + time;
    {
      MutexLock lock(mutex_);
      result_ = {};
    }
    for (; next < end; next += absl::Seconds(pause(random))) {
      const absl::Duration now = clock.Monotonic();
      if (next > now) clock.SleepFor(next - now);
      Start(choose(random));
    }
    MutexLock lock(mutex_);
    while (running_ > 0) ended_.Wait(mutex_);
    return result_;
  }

 private:
  struct Call {
    size_t model = 0;
    absl::Duration started;
    grpc::ClientContext context;
    inference::ModelInferResponse response;
  };

  void Start(size_t model) {
    {
      MutexLock lock(mutex_);
      ++running_;
    }
    const Clock& clock = Clock::Real();
    const auto call = std::make_shared<Call>();
    call->model = model;
    call->started = clock.Monotonic();
    PrepareContext(call->context, {.token = token_, .deadline = clock.Now() + kDeadline});
    stub_->async()->ModelInfer(&call->context, &requests_[model], &call->response,
                               [this, call](const grpc::Status& status) { End(*call, status); });
  }

  void End(const Call& call, const grpc::Status& status) {
    const absl::Duration took = Clock::Real().Monotonic() - call.started;
    MutexLock lock(mutex_);
    ++result_.calls;
    if (status.ok()) {
      result_.latencies[call.model].push_back(absl::ToDoubleMilliseconds(took));
    } else {
      ++result_.failures;
      result_.failure = status.error_message();
    }
    if (--running_ == 0) ended_.SignalAll();
  }

  const std::string token_;
  const std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
  std::vector<inference::ModelInferRequest> requests_;
  Mutex mutex_;
  CondVar ended_;
  int running_ GUARDED_BY(mutex_) = 0;
  Result result_ GUARDED_BY(mutex_);
};

double ResidentMegabytes(int64_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atof(line.c_str() + 6) / 1000;
  }
  return NAN;
}

// What the worker says that a model takes.
int64_t BytesOfOne(ProcessLauncher& launcher, const TestTrust& trust, const TestArtifact& artifact,
                   const std::vector<std::string>& wrapper) {
  WorkerProcess worker(launcher, trust, {.settings = {}, .wrapper = wrapper});
  return worker.Load(NameOf(0), artifact);
}

void Print(const char* what, const OpenLoop::Result& result, size_t from, size_t to) {
  std::printf("%-28s p50 %6.2f ms, p99 %7.2f ms\n", what, result.Quantile(0.5, from, to),
              result.Quantile(0.99, from, to));
}

int Main(double seconds, double rate, int cycles) {
  LogConfig quiet;
  quiet.level = "error";
  if (!InitLogging("models_bench", quiet).ok()) return 1;
  PinTo(CallerCore());
  LocalProcessLauncher launcher;
  const TestTrust trust;
  const TestArtifact cnn = BenchCnn();
  const std::vector<std::string> wrapper = {"/usr/bin/taskset", "-c", std::to_string(kServerCore)};
  const int64_t bytes = kInMemory * BytesOfOne(launcher, trust, cnn, wrapper);
  WorkerProcess worker(
      launcher, trust,
      {.settings = {fmt::format("max_model_bytes={}", bytes)}, .wrapper = wrapper});
  OpenLoop loop(worker.address(), GatewayToken(trust));
  const absl::Duration time = absl::Seconds(seconds);

  worker.Load(NameOf(0), cnn);
  loop.Run(1, rate, absl::Seconds(2));
  const OpenLoop::Result one = loop.Run(1, rate, time);
  for (int model = 1; model < kModels; ++model) worker.Load(NameOf(model), cnn);
  // Until those are in memory that are called most.
  loop.Run(kModels, rate, absl::Seconds(5));
  const OpenLoop::Result many = loop.Run(kModels, rate, time);

  std::printf("%d models, memory for %d (%.1f MB), %.0f calls a second\n", kModels, kInMemory,
              static_cast<double>(bytes) / 1e6, rate);
  Print("one model alone", one, 0, 1);
  Print("the five called most", many, 0, kPopular);
  Print("the fifty called least", many, kRare, kModels);
  std::printf("%ld of %ld calls failed%s%s\n", many.failures + one.failures, many.calls + one.calls,
              many.failures > 0 ? ": " : "", many.failure.c_str());
  std::printf("hits take %.2f times as long as with one model (p99)\n",
              many.Quantile(0.99, 0, kPopular) / one.Quantile(0.99, 0, 1));

  const std::string name = "cycle";
  double first = 0;
  std::vector<float> input;
  const inference::ModelInferRequest request = InferRequest(name, kCnnShape, input);
  for (int i = 1; i <= cycles; ++i) {
    worker.Load(name, cnn);
    loop.CallOnce(request);
    worker.Unload(name);
    if (i == kFirstCycles) first = ResidentMegabytes(worker.pid());
  }
  const double last = ResidentMegabytes(worker.pid());
  std::printf("resident after %d loads and unloads %.1f MB, after %d %.1f MB: %.3f times\n",
              kFirstCycles, first, cycles, last, last / first);
  const bool met = many.failures + one.failures == 0 && last <= 1.1 * first;
  std::printf("no failure and at most 1.1 times the memory: %s\n", met ? "met" : "MISSED");
  return met ? 0 : 1;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  return slipway::Main(argc > 1 ? std::atof(argv[1]) : 20, argc > 2 ? std::atof(argv[2]) : 40,
                       argc > 3 ? std::atoi(argv[3]) : 200);
}
