#include "common/sync/background.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace slipway {
namespace {

// A third of the share of a thread that calls wait for.
constexpr int kNiceness = 5;
// The longest slice that there is: the kernel (6.12 and later) lets a thread that wakes up and has
// a shorter one go first at once, instead of when the slice of the running one ends.
constexpr uint64_t kSliceNanos = 100'000'000;

// The kernel's struct sched_attr, whose header does not go together with glibc's.
struct SchedulingAttributes {
  uint32_t size = sizeof(SchedulingAttributes);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime = 0;
  uint64_t deadline = 0;
  uint64_t period = 0;
};

}  // namespace

void WorkInBackground() {
  const SchedulingAttributes attributes{.nice = kNiceness, .runtime = kSliceNanos};
  constexpr int kThisThread = 0;
  ::syscall(SYS_sched_setattr, kThisThread, &attributes, 0);
}

}  // namespace slipway
