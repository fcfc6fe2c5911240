// A million metered calls, while the gateways that meter them are killed and started again:
// `usage_soak [calls] [kills]`.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/time/clock.h"
#include "fmt/format.h"
#include "tests/bench/bench.h"
#include "tests/support/soak/usage_soak.h"

int main(int argc, char** argv) {
  using namespace slipway;
  if (!BeginBench("usage_soak").ok()) return 1;
  gateway::UsageSoakOptions options;
  options.calls = argc > 1 ? std::atoll(argv[1]) : 1'000'000;
  options.kills = argc > 2 ? std::atoi(argv[2]) : 60;
  const absl::Duration start = Clock::Real().Monotonic();
  const gateway::UsageSoakResult result = gateway::RunUsageSoak(options);
  fmt::print(
      "{} calls, {} kills of {} gateways: {} answered, {} rows, {} of them marked; {:.0f} s\n",
      options.calls, options.kills, options.gateways, result.answered, result.rows, result.marked,
      absl::ToDoubleSeconds(Clock::Real().Monotonic() - start));
  for (const std::string& fault : result.faults) fmt::print("FAULT {}\n", fault);
  return result.faults.empty() ? 0 : 1;
}
