#include "common/sync/process_barrier.h"

#include <atomic>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace slipway {
namespace {

struct Memory {
  alignas(64) std::byte bytes[256] = {};
};

TEST(ProcessBarrierTest, LetsNobodyPassBeforeAllAreThere) {
  constexpr int kProcesses = 3;
  constexpr int kTurns = 2000;
  Memory memory;
  std::atomic<int> arrived = 0;
  std::vector<std::jthread> processes;
  for (int rank = 0; rank < kProcesses; ++rank) {
    processes.emplace_back([&, rank] {
      ProcessBarrier barrier(&memory, rank, kProcesses);
      for (int turn = 1; turn <= kTurns; ++turn) {
        ++arrived;
        ASSERT_TRUE(barrier.Wait(absl::Minutes(2)));
        ASSERT_GE(arrived, turn * kProcesses);
        ASSERT_TRUE(barrier.Wait(absl::Minutes(2)));
        ASSERT_LE(arrived, (turn + 1) * kProcesses);
      }
    });
  }
}

TEST(ProcessBarrierTest, SaysThatOneIsLate) {
  Memory memory;
  ProcessBarrier barrier(&memory, 0, 2);
  EXPECT_FALSE(barrier.Wait(absl::Milliseconds(1)));
}

}  // namespace
}  // namespace slipway
