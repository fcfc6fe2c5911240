#include "common/http/server/held_writes.h"

#include <memory>
#include <thread>

#include "gtest/gtest.h"

namespace slipway::http {
namespace {

struct CountingSender final : HeldWrites::Sender {
  void SendHeld() override {
    ++sent;
    holding = HeldWrites::OfThread() != nullptr;
  }
  int sent = 0;
  bool holding = false;
};

TEST(HeldWritesTest, EachConnectionSendsOnceAtTheEnd) {
  const auto a = std::make_shared<CountingSender>();
  const auto b = std::make_shared<CountingSender>();
  {
    const HeldWrites held;
    for (int i = 0; i < 3; ++i) {
      HeldWrites::OfThread()->Add(a);
      HeldWrites::OfThread()->Add(b);
    }
    EXPECT_EQ(a->sent + b->sent, 0);
  }
  EXPECT_EQ(a->sent, 1);
  EXPECT_EQ(b->sent, 1);
  EXPECT_FALSE(a->holding) << "what is sent at the end must not be held again";
  EXPECT_EQ(HeldWrites::OfThread(), nullptr);
}

TEST(HeldWritesTest, HoldsForItsThreadOnly) {
  const HeldWrites held;
  std::jthread([] { EXPECT_EQ(HeldWrites::OfThread(), nullptr); }).join();
  {
    const HeldWrites inner;
    EXPECT_EQ(HeldWrites::OfThread(), &inner);
  }
  EXPECT_EQ(HeldWrites::OfThread(), &held);
}

}  // namespace
}  // namespace slipway::http
