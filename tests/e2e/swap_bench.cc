// Versions of a model replace each other under load, through the whole platform: how many calls
// fail (none may), and what it does to the latency of the others.

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "common/time/clock.h"
#include "fmt/format.h"
#include "tests/e2e/load.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;

constexpr int kSwaps = 200;
// So many that each is unloaded by the time that its turn comes again.
constexpr int kVersions = 8;
constexpr int kCallers = 4;
constexpr double kShareOfCapacity = 0.7;
constexpr absl::Duration kMeasure = absl::Seconds(10);

absl::Duration Percentile(std::vector<absl::Duration> latencies, double share) {
  if (latencies.empty()) return absl::ZeroDuration();
  const auto place =
      latencies.begin() + static_cast<ptrdiff_t>(share * static_cast<double>(latencies.size() - 1));
  std::nth_element(latencies.begin(), place, latencies.end());
  return *place;
}

void Print(const char* what, const Load::Result& result, absl::Duration took) {
  fmt::print("{:<20} {:>8.0f} calls/s   p50 {:>7.2f} ms   p99 {:>7.2f} ms   failed {}\n", what,
             static_cast<double>(result.latencies.size()) / absl::ToDoubleSeconds(took),
             absl::ToDoubleMilliseconds(Percentile(result.latencies, 0.5)),
             absl::ToDoubleMilliseconds(Percentile(result.latencies, 0.99)), result.failed);
}

absl::Status Swap(const World& world, const std::string& version) {
  RETURN_IF_ERROR(ToStatus(
      world.owner().Call("PATCH", world.Path("deployments/halves"), {{"modelVersion", version}}),
      "update"));
  std::string last;
  const bool serves = Eventually([&] {
    const Answer answer = world.owner().Get(world.Path("deployments/halves"));
    last = answer.body;
    return answer.json().value("servingVersion", "") == version;
  });
  return serves ? absl::OkStatus() : absl::DeadlineExceededError("it does not serve: " + last);
}

absl::Status Run() {
  Platform platform;
  RETURN_IF_ERROR(platform.Start());
  World world(platform, "acme");
  RETURN_IF_ERROR(world.status());
  std::vector<std::string> versions;
  for (int i = 0; i < kVersions; ++i) {
    ASSIGN_OR_RETURN(const json job, world.Train(fmt::format("job-{}", i), PictureSpec(5)));
    versions.push_back(job.value("modelVersion", ""));
  }
  RETURN_IF_ERROR(world.Deploy("halves", versions[0]));

  const Clock& clock = Clock::Real();
  Load full(world, "halves", kCallers, /*pause=*/absl::ZeroDuration());
  clock.SleepFor(kMeasure);
  const Load::Result capacity = full.Finish();
  Print("all it can do", capacity, kMeasure);
  const absl::Duration each = kMeasure * kCallers / static_cast<double>(capacity.latencies.size());
  const absl::Duration pause = std::max(absl::ZeroDuration(), each / kShareOfCapacity - each);

  Load load(world, "halves", kCallers, pause);
  clock.SleepFor(kMeasure);
  const Load::Result still = load.Take();
  Print("at 70%", still, kMeasure);
  const absl::Duration begin = clock.Monotonic();
  for (int swap = 1; swap <= kSwaps; ++swap) {
    RETURN_IF_ERROR(Swap(world, versions[static_cast<size_t>(swap) % versions.size()]));
  }
  const absl::Duration took = clock.Monotonic() - begin;
  const Load::Result swapped = load.Finish();
  Print("with swaps", swapped, took);
  fmt::print(
      "{} swaps, {:.0f} ms each: {} failed calls, p99 {:.2f} times\n", kSwaps,
      absl::ToDoubleMilliseconds(took) / kSwaps, swapped.failed,
      absl::FDivDuration(Percentile(swapped.latencies, 0.99), Percentile(still.latencies, 0.99)));
  if (swapped.failed > 0) return absl::InternalError(swapped.first_failure);
  return absl::OkStatus();
}

}  // namespace
}  // namespace slipway::e2e

int main() {
  const absl::Status status = slipway::e2e::Run();
  if (!status.ok()) fmt::print(stderr, "{}\n", status.ToString());
  return status.ok() ? 0 : 1;
}
