// Many models on one worker: 100 deployments of small CNNs, memory for 20.
//
//   - an open loop (Poisson) of calls to one model alone, then the same loop beside a second one
//     of calls to all of them by Zipf's law: no call may fail, and the first loop's, whose model
//     stays in memory, should be answered as quickly as without the second. Of the second's, those
//     whose model was not called lately (this program keeps the order) wait until it has come back
//   - a model is loaded, called and unloaded again and again: what the worker's process holds
//     after the fifth time and at the end
//
// The worker has one core, the callers the other.
//
//   models_bench [seconds a measurement, default 40] [calls a second to all, default 6] [cycles,
//   default 200]

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
#include "common/process/local_process_launcher.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "inference/open_inference.grpc.pb.h"
#include "tests/bench/bench.h"
#include "tests/bench/serving/models.h"
#include "tests/bench/serving/server_process.h"
#include "tests/bench/serving/worker_calls.h"
#include "tests/support/serving/worker_process.h"

namespace slipway {
namespace {

constexpr int kModels = 100;
constexpr int kInMemory = 20;
// Of the models by the time of their last call these are not in memory.
constexpr size_t kSurelyOut = 25;
constexpr int kFirstCycles = 5;
// Calls a second to the one model: enough for a p99 in a minute, few beside what it can do.
constexpr double kSteadyRate = 50;
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
    // In milliseconds.
    std::vector<double> steady;
    std::vector<double> misses;
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

  // Calls of model 0 at kSteadyRate; beside them, where `rate` is not 0, calls of all, of model k
  // as often as 1 / (k + 1) says.
  Result Run(double rate, absl::Duration time) {
    std::vector<double> weights;
    for (int model = 0; model < kModels; ++model) weights.push_back(1.0 / (model + 1));
    std::discrete_distribution<size_t> choose(weights.begin(), weights.end());
    std::bernoulli_distribution steady(kSteadyRate / (kSteadyRate + rate));
    std::exponential_distribution<double> pause(kSteadyRate + rate);
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
      const bool of_the_one = steady(random);
      Start(of_the_one ? 0 : choose(random), of_the_one);
    }
    MutexLock lock(mutex_);
    while (running_ > 0) ended_.Wait(mutex_);
    return result_;
  }

 private:
  struct Call {
    bool steady = false;
    // Its model has to come back first.
    bool waits = false;
    absl::Duration started;
    grpc::ClientContext context;
    inference::ModelInferResponse response;
  };

  void Start(size_t model, bool steady) {
    const Clock& clock = Clock::Real();
    const auto call = std::make_shared<Call>();
    const auto found = std::find(recent_.begin(), recent_.end(), model);
    call->steady = steady;
    call->waits = found - recent_.begin() >= static_cast<std::ptrdiff_t>(kSurelyOut);
    if (found != recent_.end()) recent_.erase(found);
    recent_.insert(recent_.begin(), model);
    {
      MutexLock lock(mutex_);
      ++running_;
    }
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
      if (call.steady) result_.steady.push_back(absl::ToDoubleMilliseconds(took));
      if (call.waits) result_.misses.push_back(absl::ToDoubleMilliseconds(took));
    } else {
      ++result_.failures;
      result_.failure = status.error_message();
    }
    if (--running_ == 0) ended_.SignalAll();
  }

  const std::string token_;
  const std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
  std::vector<inference::ModelInferRequest> requests_;
  // Models, the last called first.
  std::vector<size_t> recent_;
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

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  if (values.empty()) return NAN;
  const auto place = static_cast<size_t>(q * static_cast<double>(values.size()));
  return values[std::min(values.size() - 1, place)];
}

void Print(const char* what, const std::vector<double>& values) {
  std::printf("%-28s %5zu calls, p50 %6.2f ms, p99 %7.2f ms\n", what, values.size(),
              Quantile(values, 0.5), Quantile(values, 0.99));
}

int Main(double seconds, double rate, int cycles) {
  if (!BeginBench("models_bench").ok()) return 1;
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
  loop.Run(0, absl::Seconds(2));
  const OpenLoop::Result one = loop.Run(0, time);
  for (int model = 1; model < kModels; ++model) worker.Load(NameOf(model), cnn);
  // Until those are in memory that are called most.
  loop.Run(rate, absl::Seconds(5));
  const OpenLoop::Result many = loop.Run(rate, time);

  std::printf("%d models, memory for %d (%.1f MB), %.0f calls a second beside %.0f to one\n",
              kModels, kInMemory, static_cast<double>(bytes) / 1e6, rate, kSteadyRate);
  Print("one model alone", one.steady);
  Print("the same beside 99 others", many.steady);
  Print("a model that comes back", many.misses);
  std::printf("%ld of %ld calls failed%s%s\n", many.failures + one.failures, many.calls + one.calls,
              many.failures > 0 ? ": " : "", many.failure.c_str());
  std::printf("beside others it takes %.2f times as long as alone (p99)\n",
              Quantile(many.steady, 0.99) / Quantile(one.steady, 0.99));

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
  return slipway::Main(argc > 1 ? std::atof(argv[1]) : 40, argc > 2 ? std::atof(argv[2]) : 6,
                       argc > 3 ? std::atoi(argv[3]) : 200);
}
