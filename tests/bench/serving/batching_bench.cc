// What batching is worth: a small CNN on the worker beside the same model run bare, in one run.
//
//   - closed loops of 1, 8 and 64 callers: server CPU and wall time a picture, beside bare batches
//     of 1, 8 and 32 in each runtime
//   - an open loop (Poisson) at twice the rate of a closed loop of 16 callers, each call with a
//     deadline of 100 ms: how many are answered in time, beside that rate. Its calls bring 8
//     pictures each, since of smaller ones the callers' core cannot send that many
//
// The server and the bare runs have one core, the callers the other; CPU is user and system time.
// Bare and served take turns; each figure is the median over the rounds.
//
//   batching_bench [seconds a measurement, default 2] [rounds, default 5]

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "tests/bench/bench.h"
#include "tests/bench/serving/bare_model.h"
#include "tests/bench/serving/load.h"
#include "tests/bench/serving/models.h"
#include "tests/bench/serving/server_process.h"
#include "tests/bench/serving/worker_calls.h"
#include "tests/support/serving/worker_process.h"

namespace slipway {
namespace {

constexpr absl::Duration kWarmUp = absl::Milliseconds(500);
constexpr absl::Duration kDeadline = absl::Milliseconds(100);
constexpr double kOverload = 2;
constexpr int kCapacityCallers = 16;

struct Served {
  std::vector<double> cpu_us;
  std::vector<double> calls_a_second;
  std::vector<double> p50_us;
  std::vector<double> p99_us;
};

int Main(double seconds, int rounds) {
  if (!BeginBench("batching_bench").ok()) return 1;

  // The bare runs have the server's core, since the two take turns.
  PinTo(kServerCore);
  const TestArtifact cnn = BenchCnn();
  const std::vector<std::string> runtimes = {"torch", "openvino"};
  std::map<std::string, std::unique_ptr<BareModel>> bare;
  for (const std::string& runtime : runtimes) {
    bare[runtime] = std::make_unique<BareModel>(runtime, cnn);
  }
  PinTo(CallerCore());
  LocalProcessLauncher launcher;
  const TestTrust trust;
  WorkerProcess worker(
      launcher, trust,
      {.settings = {}, .wrapper = {"/usr/bin/taskset", "-c", std::to_string(kServerCore)}});
  worker.Load("cnn", cnn);
  std::vector<float> input;
  const inference::ModelInferRequest request = InferRequest("cnn", kCnnShape, input);
  GrpcLoad load(worker.address(), &request, GatewayToken(trust));

  std::vector<float> inputs;
  const inference::ModelInferRequest large_request = InferRequest("cnn", {8, 28, 28}, inputs);
  GrpcLoad large_load(worker.address(), &large_request, GatewayToken(trust));

  const absl::Duration time = absl::Seconds(seconds);
  const std::vector<int> all_callers = {1, 8, 64};
  const std::vector<int64_t> batches = {1, 8, 32};
  std::map<std::string, std::map<int64_t, std::vector<double>>> bare_us;
  std::map<int, Served> served;
  std::vector<double> goodput;
  std::vector<double> in_time_p99;
  std::vector<double> capacities;
  for (int round = 0; round < rounds; ++round) {
    PinTo(kServerCore);
    for (const std::string& runtime : runtimes) {
      for (const int64_t rows : batches) {
        bare_us[runtime][rows].push_back(bare[runtime]->MicrosPerRow(rows));
      }
    }
    PinTo(CallerCore());
    for (const int callers : all_callers) {
      double before = 0;
      double after = 0;
      const LoadResult result = load.Run(
          callers, kWarmUp, time, [&] { before = CpuMicros(worker.pid()); },
          [&] { after = CpuMicros(worker.pid()); });
      if (result.failures > 0) std::printf("%ld calls FAILED\n", result.failures);
      const double rate = static_cast<double>(result.calls) / absl::ToDoubleSeconds(result.time);
      served[callers].cpu_us.push_back((after - before) / static_cast<double>(result.calls));
      served[callers].calls_a_second.push_back(rate);
      served[callers].p50_us.push_back(result.p50_us);
      served[callers].p99_us.push_back(result.p99_us);
    }
    const LoadResult closed = large_load.Run(
        kCapacityCallers, kWarmUp, time, [] {}, [] {});
    capacities.push_back(static_cast<double>(closed.calls) / absl::ToDoubleSeconds(closed.time));
    const double capacity = Median(capacities);
    const OpenLoadResult open = large_load.RunOpen(kOverload * capacity, kDeadline, kWarmUp, time);
    goodput.push_back(static_cast<double>(open.in_time) / absl::ToDoubleSeconds(open.time));
    in_time_p99.push_back(open.p99_us);
    std::printf("round %d: open loop sent %ld, in time %ld, refused %ld, too late %ld\n", round,
                open.sent, open.in_time, open.refused, open.late);
  }

  std::printf("\n%-22s %12s %14s %10s %10s\n", "CNN 28x28, float32", "CPU us/pic", "pics/s",
              "p50 us", "p99 us");
  std::map<int64_t, double> best;
  for (const std::string& runtime : runtimes) {
    for (const int64_t rows : batches) {
      const double us = Median(bare_us[runtime][rows]);
      std::printf("bare %-8s batch %-3ld %12.1f %14.0f\n", runtime.c_str(), rows, us, 1e6 / us);
      if (best[rows] == 0 || us < best[rows]) best[rows] = us;
    }
  }
  for (const int callers : all_callers) {
    const Served& row = served[callers];
    std::printf("worker, %2d callers     %12.1f %14.0f %10.0f %10.0f\n", callers,
                Median(row.cpu_us), Median(row.calls_a_second), Median(row.p50_us),
                Median(row.p99_us));
  }
  const auto share = [&](int callers, int64_t rows, double target) {
    const double by_cpu = best[rows] / Median(served[callers].cpu_us);
    const double by_wall = best[rows] * Median(served[callers].calls_a_second) / 1e6;
    std::printf(
        "%2d callers: %.0f%% of bare batch %ld by CPU, %.0f%% by the clock; target %.0f%%, %s\n",
        callers, 100 * by_cpu, rows, 100 * by_wall, 100 * target,
        std::min(by_cpu, by_wall) >= target ? "met" : "MISSED");
  };
  share(8, 8, 0.8);
  share(64, 32, 0.85);
  std::printf("one caller: p50 %.2f ms, target < 1, %s\n", Median(served[1].p50_us) / 1000,
              Median(served[1].p50_us) < 1000 ? "met" : "MISSED");
  const double capacity = Median(capacities);
  std::printf(
      "open loop at %.0f times the capacity: %.0f%% of its %.0f calls a second answered within 100 "
      "ms, p99 of "
      "those %.1f ms; target 95%%, %s\n",
      kOverload, 100 * Median(goodput) / capacity, capacity, Median(in_time_p99) / 1000,
      Median(goodput) >= 0.95 * capacity ? "met" : "MISSED");
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  return slipway::Main(argc > 1 ? std::atof(argv[1]) : 2, argc > 2 ? std::atoi(argv[2]) : 5);
}
