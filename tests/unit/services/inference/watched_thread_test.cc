#include "services/inference/watched_thread.h"

#include <atomic>
#include <memory>
#include <thread>

#include "gtest/gtest.h"
#include "tests/unit/services/inference/fakes.h"

namespace slipway::worker {
namespace {

TEST(WatchedThreadTest, DoesOneThingAfterTheOtherOnAThreadOfItsOwn) {
  WatchedThread thread;
  std::thread::id first;
  std::thread::id second;
  EXPECT_TRUE(thread.Run([&] { first = std::this_thread::get_id(); }, absl::InfiniteDuration()));
  EXPECT_TRUE(thread.Run([&] { second = std::this_thread::get_id(); }, absl::InfiniteDuration()));
  EXPECT_EQ(first, second);
  EXPECT_NE(first, std::this_thread::get_id());
}

TEST(WatchedThreadTest, WhatTakesTooLongIsLeftBehindAndGoesOn) {
  const auto gate = std::make_shared<Gate>();
  const auto ended = std::make_shared<std::atomic<bool>>(false);
  gate->Close();
  {
    WatchedThread thread;
    EXPECT_FALSE(thread.Run(
        [gate, ended] {
          gate->Pass();
          *ended = true;
        },
        absl::Milliseconds(20)));
  }
  EXPECT_FALSE(*ended);
  gate->Open();
  while (!*ended) std::this_thread::yield();
}

}  // namespace
}  // namespace slipway::worker
