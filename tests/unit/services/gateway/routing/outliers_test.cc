#include "services/gateway/routing/outliers.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"
#include "tests/unit/services/gateway/routing/idle_worker.h"

namespace slipway::gateway {
namespace {

using Result = Outliers::Result;
using Members = std::vector<Outliers::Member>;

constexpr absl::Duration kStart = absl::Seconds(1000);

int CountEjected(const Members& members) {
  return static_cast<int>(std::ranges::count_if(members, [](auto& m) { return m->ejected(); }));
}

void Fail(Outliers& outliers, RoutedWorker& worker, int times, absl::Duration now) {
  for (int i = 0; i < times; ++i) outliers.Record(worker, Result::kFailed, now);
}

TEST(OutliersTest, FiveFailuresInARowSetAWorkerAside) {
  Outliers outliers;
  const Members members = outliers.SetWorkers(IdleWorkers(4));
  Fail(outliers, *members[0], 4, kStart);
  outliers.Record(*members[0], Result::kAnswered, kStart);
  Fail(outliers, *members[0], 4, kStart);
  EXPECT_FALSE(members[0]->ejected());
  EXPECT_TRUE(outliers.Record(*members[0], Result::kFailed, kStart));
  EXPECT_TRUE(members[0]->ejected());
  EXPECT_EQ(CountEjected(members), 1);
}

TEST(OutliersTest, NeverMoreThanHalfAreSetAside) {
  for (int count = 1; count <= 7; ++count) {
    Outliers outliers;
    const Members members = outliers.SetWorkers(IdleWorkers(count));
    for (const auto& member : members) Fail(outliers, *member, 100, kStart);
    EXPECT_EQ(CountEjected(members), count / 2) << count;
  }
}

TEST(OutliersTest, WhereWorkersLeaveThoseThatWouldComeBackFirstComeBack) {
  Outliers outliers;
  const auto workers = IdleWorkers(4);
  const Members members = outliers.SetWorkers(workers);
  Fail(outliers, *members[0], 5, kStart);
  Fail(outliers, *members[1], 5, kStart + absl::Seconds(1));
  const Members left = outliers.SetWorkers({workers[0], workers[1], workers[2]});
  EXPECT_FALSE(left[0]->ejected());
  EXPECT_TRUE(left[1]->ejected());
  EXPECT_EQ(left[1], members[1]);
}

TEST(OutliersTest, OneThatFailsFarMoreOftenThanTheOthersIsSetAside) {
  Outliers outliers;
  const Members members = outliers.SetWorkers(IdleWorkers(3));
  // Every other call: never five in a row.
  absl::Duration now = kStart;
  for (int i = 0; i < 400; ++i) {
    now += absl::Milliseconds(50);
    outliers.Record(*members[0], i % 2 == 0 ? Result::kFailed : Result::kAnswered, now);
    outliers.Record(*members[1], Result::kAnswered, now);
    outliers.Record(*members[2], Result::kAnswered, now);
  }
  EXPECT_TRUE(members[0]->ejected());
  EXPECT_EQ(CountEjected(members), 1);
}

TEST(OutliersTest, WhereAllFailAlikeNoneIsSetAsideForIt) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    std::mt19937_64 random(seed);
    Outliers outliers;
    const Members members = outliers.SetWorkers(IdleWorkers(4));
    absl::Duration now = kStart;
    // Late, as for callers in a hurry: no failures in a row.
    for (int i = 0; i < 4000; ++i) {
      now += absl::Milliseconds(10);
      outliers.Record(*members[random() % members.size()],
                      random() % 2 == 0 ? Result::kLate : Result::kAnswered, now);
    }
    EXPECT_EQ(CountEjected(members), 0) << "seed " << seed;
  }
}

TEST(OutliersTest, OneThatHangsIsFoundByItsLateCalls) {
  Outliers outliers;
  const Members members = outliers.SetWorkers(IdleWorkers(2));
  absl::Duration now = kStart;
  for (int i = 0; i < 300; ++i) {
    now += absl::Milliseconds(50);
    outliers.Record(*members[0], Result::kLate, now);
    outliers.Record(*members[1], Result::kAnswered, now);
  }
  EXPECT_TRUE(members[0]->ejected());
  EXPECT_FALSE(members[1]->ejected());
}

TEST(OutliersTest, ItComesBackByAProbeAndIsSetAsideForLongerEachTime) {
  Outliers outliers;
  const Members members = outliers.SetWorkers(IdleWorkers(2));
  RoutedWorker& worker = *members[0];
  Fail(outliers, worker, 5, kStart);
  EXPECT_EQ(outliers.DueForProbe(members, kStart + absl::Seconds(4.9)), nullptr);
  EXPECT_EQ(outliers.DueForProbe(members, kStart + absl::Seconds(5)), members[0]);
  // One at a time.
  EXPECT_EQ(outliers.DueForProbe(members, kStart + absl::Seconds(6)), nullptr);
  outliers.RecordProbe(worker, /*answered=*/false, kStart + absl::Seconds(7));
  EXPECT_TRUE(worker.ejected());
  EXPECT_EQ(outliers.DueForProbe(members, kStart + absl::Seconds(16.9)), nullptr);
  EXPECT_EQ(outliers.DueForProbe(members, kStart + absl::Seconds(17)), members[0]);
  outliers.RecordProbe(worker, /*answered=*/true, kStart + absl::Seconds(18));
  EXPECT_FALSE(worker.ejected());
  // It is remembered for a while.
  Fail(outliers, worker, 5, kStart + absl::Seconds(19));
  EXPECT_EQ(outliers.DueForProbe(members, kStart + absl::Seconds(19 + 9.9)), nullptr);
  EXPECT_EQ(outliers.DueForProbe(members, kStart + absl::Seconds(19 + 10)), members[0]);
}

TEST(OutliersTest, AProbeThatNobodyHeardOfIsMadeAgain) {
  Outliers outliers;
  const Members members = outliers.SetWorkers(IdleWorkers(2));
  Fail(outliers, *members[0], 5, kStart);
  EXPECT_EQ(outliers.DueForProbe(members, kStart + absl::Seconds(5)), members[0]);
  EXPECT_EQ(outliers.DueForProbe(members, kStart + absl::Seconds(34)), nullptr);
  EXPECT_EQ(outliers.DueForProbe(members, kStart + absl::Seconds(35)), members[0]);
}

// Workers fail, hang, recover and leave at random; a call asks one that is not set aside.
TEST(OutliersTest, InAnyOrderOfEventsAtMostHalfAreAsideAndAllThatRecoveredComeBack) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    std::mt19937_64 random(seed);
    Outliers outliers;
    auto workers = IdleWorkers(static_cast<int>(random() % 8) + 1);
    Members members = outliers.SetWorkers(workers);
    std::vector<int> broken(workers.size());  // 0: well, 1: fails, 2: hangs
    absl::Duration now = kStart;
    const auto call = [&] {
      now += absl::Milliseconds(static_cast<int64_t>(random() % 20));
      std::vector<size_t> usable;
      for (size_t i = 0; i < members.size(); ++i) {
        if (!members[i]->ejected()) usable.push_back(i);
      }
      ASSERT_GE(2 * usable.size(), members.size()) << "seed " << seed;
      const size_t asked = usable[random() % usable.size()];
      constexpr Result kResults[] = {Result::kAnswered, Result::kFailed, Result::kLate};
      outliers.Record(*members[asked], kResults[broken[asked]], now);
      for (size_t i = 0; i < members.size(); ++i) {
        if (outliers.DueForProbe({members[i]}, now) != nullptr && random() % 10 != 0) {
          outliers.RecordProbe(*members[i], broken[i] == 0, now);
        }
      }
    };
    for (int step = 0; step < 20; ++step) {
      broken[random() % broken.size()] = static_cast<int>(random() % 3);
      if (random() % 5 == 0 && workers.size() > 1) {
        workers.pop_back();
        broken.pop_back();
        members = outliers.SetWorkers(workers);
      }
      for (int i = 0; i < 300; ++i) call();
    }
    std::ranges::fill(broken, 0);
    for (int i = 0; i < 60'000 && CountEjected(members) > 0; ++i) call();
    EXPECT_EQ(CountEjected(members), 0) << "seed " << seed;
  }
}

}  // namespace
}  // namespace slipway::gateway
