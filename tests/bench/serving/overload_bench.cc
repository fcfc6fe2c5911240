// Ten times the calls that a worker can answer, through the gateway as it is by default, with keys,
// usage and metrics: how much of the worker's capacity is answered all the same, how soon the
// others are refused, what a calm deployment on the same worker notices, and how soon all is well
// again.
//
// The worker takes a fixed time for each call, one after the other, and no CPU for it. Its capacity
// is what a closed loop of callers gets through the gateway; answers count within a quarter second.
//
//   overload_bench [seconds of overload, default 60] [us a call, default 1000]

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "tests/bench/bench.h"
#include "tests/bench/serving/floor_server.h"
#include "tests/bench/serving/gateway_under_test.h"
#include "tests/bench/serving/load.h"
#include "tests/bench/serving/server_process.h"

namespace slipway {
namespace {

constexpr double kOverload = 10;
constexpr double kCalm = 0.05;
constexpr double kAfter = 0.7;
constexpr int kClosedCallers = 16;
constexpr int kConnections = 2000;
constexpr absl::Duration kInTime = absl::Milliseconds(250);

int64_t InTime(const HttpFlowResult& flow) {
  return std::count_if(flow.answered.begin(), flow.answered.end(),
                       [](const auto& answer) { return answer.took <= kInTime; });
}

// Until nothing was refused or late any more.
absl::Duration RecoveryOf(const HttpFlowResult& flow) {
  absl::Duration last;
  for (const auto& answer : flow.refused) last = std::max(last, answer.at);
  for (const auto& answer : flow.answered) {
    if (answer.took > kInTime) last = std::max(last, answer.at);
  }
  return last;
}

int Main(const std::string& self, double seconds, const std::string& micros) {
  if (!BeginBench("overload_bench").ok()) return 1;
  PinTo(CallerCore());
  LocalProcessLauncher launcher;
  const TempDir dir;
  const TestTrust trust;
  const ServerProcess worker(launcher, self, {"slow-server", dir / "worker.sock", micros});
  const GatewayUnderTest gateway(launcher, trust, "unix:" + (dir / "worker.sock"), {"busy", "calm"},
                                 {"limits.max_connections_per_address=5000"});
  const std::string body = GatewayUnderTest::InferBody({1, 32}, std::vector<float>(32, 0.5F));
  const std::string busy = gateway.InferRequest("busy", body);
  const std::string calm = gateway.InferRequest("calm", body);

  const LoadResult closed = RunHttpLoad(
      gateway.port(), busy, kClosedCallers, absl::Seconds(1), absl::Seconds(5), [] {}, [] {});
  const double capacity = static_cast<double>(closed.calls) / absl::ToDoubleSeconds(closed.time);
  const auto run = [&](double share, absl::Duration time) {
    return RunHttpFlows(gateway.port(), {{busy, share * capacity}, {calm, kCalm * capacity}},
                        kConnections, time);
  };
  const double before = CpuMicros(gateway.pid());
  const auto overload = run(kOverload, absl::Seconds(seconds));
  const double cpu = CpuMicros(gateway.pid()) - before;
  const auto after = run(kAfter, absl::Seconds(10));

  const HttpFlowResult& flood = overload[0];
  const double goodput =
      static_cast<double>(InTime(flood) + InTime(overload[1])) / seconds / capacity;
  const double refused_p99 = QuantileMillis(flood.refused, 0.99);
  const double calm_share =
      static_cast<double>(InTime(overload[1])) / static_cast<double>(overload[1].sent);
  const double recovery = absl::ToDoubleSeconds(RecoveryOf(after[0]));
  const auto verdict = [](bool met) { return met ? "met" : "MISSED"; };
  std::printf(
      "capacity %.0f calls a second; %.0f s at %.0f a second: %ld sent, %ld answered, %ld "
      "refused, %ld failed; gateway %.1f us of CPU a call\n",
      capacity, seconds, kOverload * capacity, flood.sent, static_cast<long>(flood.answered.size()),
      static_cast<long>(flood.refused.size()), flood.failed, cpu / static_cast<double>(flood.sent));
  std::printf("goodput %.1f%% of the capacity, p99 %.1f ms; target 90%%, %s\n", 100 * goodput,
              QuantileMillis(flood.answered, 0.99), verdict(goodput >= 0.9));
  std::printf("refusals p99 %.2f ms; target < 50, %s\n", refused_p99, verdict(refused_p99 < 50));
  std::printf("calm deployment: %.2f%% of %ld answered in time, p99 %.1f ms; target 95%%, %s\n",
              100 * calm_share, overload[1].sent, QuantileMillis(overload[1].answered, 0.99),
              verdict(calm_share >= 0.95));
  std::printf("recovery at %.0f%% of the capacity: %.2f s; target < 5, %s\n", 100 * kAfter,
              recovery, verdict(recovery < 5));
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "slow-server") == 0) {
    return slipway::RunSlowServer(argv[2], std::atoi(argv[3]));
  }
  return slipway::Main(std::filesystem::read_symlink("/proc/self/exe").string(),
                       argc > 1 ? std::atof(argv[1]) : 60, argc > 2 ? argv[2] : "1000");
}
