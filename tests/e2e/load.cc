#include "tests/e2e/load.h"

#include <utility>

#include "common/time/clock.h"
#include "fmt/format.h"

namespace slipway::e2e {

Load::Load(const World& world, const std::string& deployment, int callers, absl::Duration pause) {
  for (int i = 0; i < callers; ++i) {
    callers_.emplace_back([this, &world, deployment, pause](const std::stop_token& stop) {
      Run(world, deployment, pause, stop);
    });
  }
}

void Load::Run(const World& world, const std::string& deployment, absl::Duration pause,
               const std::stop_token& stop) {
  const Clock& clock = Clock::Real();
  while (!stop.stop_requested()) {
    const absl::Duration begin = clock.Monotonic();
    const Answer answer = world.Predict(deployment);
    const absl::Duration took = clock.Monotonic() - begin;
    {
      MutexLock lock(mutex_);
      ++answered_;
      result_.latencies.push_back(took);
      if (answer.ok()) {
        ++result_.by_version[answer.json().value("model_version", "")];
      } else if (result_.failed++ == 0) {
        result_.first_failure = fmt::format("{}: {}", answer.status, answer.body);
      }
    }
    clock.SleepFor(pause);
  }
}

bool Load::WaitForMore(size_t more) const {
  const auto answered = [&] {
    MutexLock lock(mutex_);
    return answered_;
  };
  const size_t wanted = answered() + more;
  return Eventually([&] { return answered() >= wanted; });
}

Load::Result Load::Take() {
  MutexLock lock(mutex_);
  return std::exchange(result_, {});
}

Load::Result Load::Finish() {
  for (std::jthread& caller : callers_) caller.request_stop();
  callers_.clear();
  return Take();
}

}  // namespace slipway::e2e
