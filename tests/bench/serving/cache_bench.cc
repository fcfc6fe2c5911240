// What a response cache saves and what it costs: a small CNN on the worker, deployed three times,
// without a cache, with one that has every answer, and with one that never has any (what it may
// keep is too little for one answer). Server CPU and latency a call; the server has one core, the
// callers the other. The three take turns; each figure is the median over the rounds.
//
//   cache_bench [seconds a measurement, default 1] [rounds, default 5]

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "tests/bench/bench.h"
#include "tests/bench/serving/load.h"
#include "tests/bench/serving/models.h"
#include "tests/bench/serving/server_process.h"
#include "tests/bench/serving/worker_calls.h"
#include "tests/support/serving/worker_process.h"

namespace slipway {
namespace {

constexpr absl::Duration kWarmUp = absl::Milliseconds(300);

// A deployment, and what its calls took by the number of callers.
struct Deployed {
  Deployed(const std::string& id, int64_t cache_bytes) : name(id) {
    if (cache_bytes > 0) settings.mutable_response_cache()->set_max_bytes(cache_bytes);
  }

  const std::string name;
  worker::v1::RuntimeSettings settings;
  std::vector<float> input;
  inference::ModelInferRequest request;
  std::unique_ptr<GrpcLoad> load;
  std::vector<double> cpu_us;
  std::vector<double> p50_us;
};

int Main(double seconds, int rounds) {
  if (!BeginBench("cache_bench").ok()) return 1;
  PinTo(CallerCore());
  LocalProcessLauncher launcher;
  const TestTrust trust;
  WorkerProcess worker(
      launcher, trust,
      {.settings = {}, .wrapper = {"/usr/bin/taskset", "-c", std::to_string(kServerCore)}});
  const TestArtifact cnn = BenchCnn();
  Deployed deployed[] = {{"off", 0}, {"hit", 1 << 20}, {"miss", 1}};
  for (Deployed& each : deployed) {
    worker.Load(each.name, cnn, each.settings);
    each.request = InferRequest(each.name, kCnnShape, each.input);
    each.load = std::make_unique<GrpcLoad>(worker.address(), &each.request, GatewayToken(trust));
  }

  std::printf("%-10s %8s %12s %10s\n", "cache", "callers", "CPU us/call", "p50 us");
  for (const int callers : {1, 8, 64}) {
    for (int round = 0; round < rounds; ++round) {
      for (Deployed& each : deployed) {
        double before = 0;
        double after = 0;
        const LoadResult result = each.load->Run(
            callers, kWarmUp, absl::Seconds(seconds), [&] { before = CpuMicros(worker.pid()); },
            [&] { after = CpuMicros(worker.pid()); });
        if (result.failures > 0) std::printf("%ld calls FAILED\n", result.failures);
        each.cpu_us.push_back((after - before) / static_cast<double>(result.calls));
        each.p50_us.push_back(result.p50_us);
      }
    }
    for (Deployed& each : deployed) {
      std::printf("%-10s %8d %12.1f %10.0f\n", each.name.c_str(), callers, Median(each.cpu_us),
                  Median(each.p50_us));
      each.cpu_us.clear();
      each.p50_us.clear();
    }
  }
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  return slipway::Main(argc > 1 ? std::atof(argv[1]) : 1, argc > 2 ? std::atoi(argv[2]) : 5);
}
