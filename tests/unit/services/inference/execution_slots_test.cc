#include "services/inference/execution_slots.h"

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/services/inference/fakes.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;

class FunctionWork final : public ExecutionSlots::Work {
 public:
  explicit FunctionWork(std::function<void()> function) : function_(std::move(function)) {}
  void Run() override { function_(); }

 private:
  const std::function<void()> function_;
};

absl::Status Submit(ExecutionSlots& slots, const std::function<void()>& work) {
  return slots.RunOrWait(work, [&] { return std::make_unique<FunctionWork>(work); });
}

TEST(ExecutionSlotsTest, RunsOnTheCallersThreadWhereASlotIsFree) {
  ExecutionSlots slots(1, 0);
  std::thread::id ran_on;
  ASSERT_TRUE(Submit(slots, [&] { ran_on = std::this_thread::get_id(); }).ok());
  EXPECT_EQ(ran_on, std::this_thread::get_id());
}

TEST(ExecutionSlotsTest, WhatComesWhileAllSlotsAreTakenRunsInOrderOnTheThreadThatHoldsOne) {
  ExecutionSlots slots(1, 10);
  std::vector<int> order;
  std::vector<std::thread::id> threads;
  ASSERT_TRUE(Submit(slots, [&] {
                for (int i = 1; i <= 3; ++i) {
                  ASSERT_TRUE(Submit(slots, [&, i] {
                                order.push_back(i);
                                threads.push_back(std::this_thread::get_id());
                              }).ok());
                }
                EXPECT_EQ(slots.waiting(), 3u);
                order.push_back(0);
              }).ok());
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(threads, testing::Each(std::this_thread::get_id()));
  EXPECT_EQ(slots.waiting(), 0u);
}

TEST(ExecutionSlotsTest, RefusesWhatTheQueueHasNoRoomFor) {
  ExecutionSlots slots(1, 1);
  int ran = 0;
  ASSERT_TRUE(Submit(slots, [&] {
                EXPECT_TRUE(Submit(slots, [&] { ++ran; }).ok());
                EXPECT_TRUE(absl::IsUnavailable(Submit(slots, [&] { ++ran; })));
                EXPECT_TRUE(absl::IsUnavailable(Submit(slots, [&] { ++ran; })));
              }).ok());
  EXPECT_EQ(ran, 1);
  EXPECT_TRUE(Submit(slots, [&] { ++ran; }).ok());
  EXPECT_EQ(ran, 2);
}

TEST(ExecutionSlotsTest, ASlotThatIsFreeIsUsedWhileAnotherIsTaken) {
  ExecutionSlots slots(2, 0);
  Gate gate;
  gate.Close();
  const std::jthread busy([&] { ASSERT_TRUE(Submit(slots, [&] { gate.Pass(); }).ok()); });
  gate.AwaitWaiting(1);
  bool ran = false;
  EXPECT_TRUE(Submit(slots, [&] { ran = true; }).ok());
  EXPECT_TRUE(ran);
  gate.Open();
}

TEST(ExecutionSlotsTest, UnderLoadEverythingRunsOnceAndNeverMoreThanTheSlotsAtATime) {
  constexpr int kThreads = 4;
  constexpr int kEach = 5000;
  ExecutionSlots slots(2, 100'000);
  std::atomic<int> running = 0;
  std::atomic<int> most = 0;
  std::atomic<int> ran = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < kEach; ++i) {
          ASSERT_TRUE(Submit(slots, [&] {
                        const int now = ++running;
                        int seen = most;
                        while (now > seen && !most.compare_exchange_weak(seen, now)) {
                        }
                        ++ran;
                        --running;
                      }).ok());
        }
      });
    }
  }
  EXPECT_EQ(ran, kThreads * kEach);
  EXPECT_LE(most, 2);
  EXPECT_EQ(slots.waiting(), 0u);
}

}  // namespace
}  // namespace slipway::worker
