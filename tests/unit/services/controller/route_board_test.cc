#include "services/controller/route_board.h"

#include <thread>

#include "gtest/gtest.h"

namespace slipway::controller {
namespace {

v1::RouteTable TableOf(const std::string& deployment) {
  v1::RouteTable table;
  table.add_routes()->set_deployment(deployment);
  return table;
}

TEST(RouteBoardTest, HasNothingBeforeTheFirstTable) {
  RouteBoard board(100);
  EXPECT_EQ(board.WaitForNewer(0, absl::ZeroDuration()), nullptr);
}

TEST(RouteBoardTest, ANewTableHasANewGeneration) {
  RouteBoard board(100);
  board.Publish(TableOf("a"));
  const auto first = board.WaitForNewer(0, absl::ZeroDuration());
  ASSERT_NE(first, nullptr);
  EXPECT_GT(first->generation(), 100);
  EXPECT_EQ(board.WaitForNewer(first->generation(), absl::ZeroDuration()), nullptr);
  board.Publish(TableOf("b"));
  const auto second = board.WaitForNewer(first->generation(), absl::ZeroDuration());
  ASSERT_NE(second, nullptr);
  EXPECT_GT(second->generation(), first->generation());
}

TEST(RouteBoardTest, AnEqualTableChangesNothing) {
  RouteBoard board(0);
  board.Publish(TableOf("a"));
  const auto first = board.WaitForNewer(0, absl::ZeroDuration());
  board.Publish(TableOf("a"));
  EXPECT_EQ(board.WaitForNewer(first->generation(), absl::ZeroDuration()), nullptr);
}

TEST(RouteBoardTest, WakesWhoWaits) {
  RouteBoard board(0);
  std::shared_ptr<const v1::RouteTable> seen;
  {
    const std::jthread watcher([&] { seen = board.WaitForNewer(0, absl::InfiniteDuration()); });
    board.Publish(TableOf("a"));
  }
  ASSERT_NE(seen, nullptr);
  EXPECT_EQ(seen->routes(0).deployment(), "a");
}

TEST(RouteBoardTest, ClosingEndsAllWaiting) {
  RouteBoard board(0);
  board.Publish(TableOf("a"));
  {
    const std::jthread watcher(
        [&] { EXPECT_EQ(board.WaitForNewer(1'000'000, absl::InfiniteDuration()), nullptr); });
    board.Close();
  }
  EXPECT_EQ(board.WaitForNewer(0, absl::InfiniteDuration()), nullptr);
}

}  // namespace
}  // namespace slipway::controller
