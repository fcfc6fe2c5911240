#include "services/gateway/routing/route_table.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/services/gateway/routing/idle_worker.h"

namespace slipway::gateway {
namespace {

using testing::SizeIs;

// Versions from 1 on: their weights, each on workers of these addresses.
Endpoint MakeEndpoint(const std::vector<std::pair<int, std::vector<std::string>>>& versions) {
  Endpoint endpoint;
  for (const auto& [weight, workers] : versions) {
    Target& target = endpoint.targets.emplace_back();
    target.version = std::to_string(endpoint.targets.size());
    target.weight = weight;
    for (const std::string& address : workers) {
      target.workers.push_back(
          std::make_shared<RoutedWorker>(std::make_shared<IdleWorker>(address)));
    }
  }
  return endpoint;
}

std::string TextOf(const Place& place) {
  return place.target->version + place.worker->worker->address();
}

// Some number for each sequence.
uint64_t Sequence(int number) { return std::hash<std::string>()(std::to_string(number)); }

TEST(PlacesForTest, ASequenceStartsByTheWeightsAndAnywhereOnItsVersion) {
  const Endpoint endpoint = MakeEndpoint({{80, {"a", "b"}}, {20, {"a", "c"}}});
  std::map<std::string, int> starts;
  for (int i = 0; i < 1000; ++i) {
    const auto places = PlacesFor(endpoint, "", Sequence(i), /*start=*/true);
    ASSERT_THAT(places, SizeIs(2));
    EXPECT_EQ(places[0].target, places[1].target);
    ++starts[TextOf(places[0])];
  }
  EXPECT_NEAR(starts["1a"], 400, 80);
  EXPECT_NEAR(starts["1b"], 400, 80);
  EXPECT_NEAR(starts["2a"], 100, 50);
  EXPECT_NEAR(starts["2c"], 100, 50);
}

TEST(PlacesForTest, OneThatGoesOnIsLookedForOnceAtEachPlaceOfAnyVersion) {
  const Endpoint endpoint = MakeEndpoint({{80, {"a", "b"}}, {20, {"a", "c"}}});
  for (int i = 0; i < 100; ++i) {
    const auto starts = PlacesFor(endpoint, "", Sequence(i), /*start=*/true);
    const auto places = PlacesFor(endpoint, "", Sequence(i), /*start=*/false);
    EXPECT_EQ(TextOf(places[0]), TextOf(starts[0]));
    // Where it would have been started if the weights had been others comes next.
    EXPECT_NE(places[1].target, places[0].target);
    std::set<std::string> all;
    for (const Place& place : places) all.insert(TextOf(place));
    EXPECT_EQ(all, (std::set<std::string>{"1a", "1b", "2a", "2c"}));
    EXPECT_THAT(PlacesFor(endpoint, "2", Sequence(i), /*start=*/false), SizeIs(2));
  }
}

TEST(PlacesForTest, OnlyTheSequencesOfAWorkerThatGoesChangePlaces) {
  const Endpoint before = MakeEndpoint({{1, {"a", "b", "c"}}});
  const Endpoint after = MakeEndpoint({{1, {"c", "a"}}});
  int moved = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string old_place = TextOf(PlacesFor(before, "", Sequence(i), true)[0]);
    const std::string new_place = TextOf(PlacesFor(after, "", Sequence(i), true)[0]);
    if (old_place == "1b") {
      ++moved;
    } else {
      EXPECT_EQ(new_place, old_place);
    }
  }
  EXPECT_NEAR(moved, 333, 80);
}

TEST(PlacesForTest, WhereNothingServesThereIsNone) {
  EXPECT_THAT(PlacesFor(MakeEndpoint({}), "", 7, true), SizeIs(0));
  EXPECT_THAT(PlacesFor(MakeEndpoint({{0, {"a"}}}), "", 7, true), SizeIs(0));
  EXPECT_THAT(PlacesFor(MakeEndpoint({{1, {}}}), "", 7, true), SizeIs(0));
  EXPECT_THAT(PlacesFor(MakeEndpoint({{1, {"a"}}}), "9", 7, true), SizeIs(0));
}

// As Prediction chooses for what stays together.
std::string StickyPlace(const Endpoint& endpoint, uint64_t hash) {
  const Target* const target = endpoint.Choose("", hash);
  return TextOf({target, ChooseStickyWorker(*target, nullptr, hash)});
}

TEST(StickyTest, EachValueStaysAtOnePlaceAndTheWeightsHoldOverAll) {
  const Endpoint endpoint = MakeEndpoint({{90, {"a", "b"}}, {10, {"a", "c"}}});
  std::map<std::string, int> calls;
  for (int i = 0; i < 2000; ++i) {
    const std::string place = StickyPlace(endpoint, Sequence(i));
    EXPECT_EQ(StickyPlace(endpoint, Sequence(i)), place);
    ++calls[place];
  }
  EXPECT_NEAR(calls["1a"], 900, 120);
  EXPECT_NEAR(calls["1b"], 900, 120);
  EXPECT_NEAR(calls["2a"], 100, 50);
  EXPECT_NEAR(calls["2c"], 100, 50);
}

TEST(StickyTest, OnlyTheShareThatMovesChangesItsVersion) {
  const Endpoint before = MakeEndpoint({{90, {"a"}}, {10, {"a"}}});
  const Endpoint after = MakeEndpoint({{70, {"a"}}, {30, {"a"}}});
  int moved = 0;
  for (int i = 0; i < 2000; ++i) {
    const std::string old_place = StickyPlace(before, Sequence(i));
    if (StickyPlace(after, Sequence(i)) == old_place) continue;
    EXPECT_EQ(old_place, "1a");
    ++moved;
  }
  EXPECT_NEAR(moved, 400, 90);
}

TEST(StickyTest, OnlyTheValuesOfAWorkerThatCannotBeReachedGoElsewhere) {
  const Endpoint endpoint = MakeEndpoint({{1, {"a", "b", "c"}}});
  std::map<int, std::string> before;
  for (int i = 0; i < 1000; ++i) before[i] = StickyPlace(endpoint, Sequence(i));
  static_cast<IdleWorker&>(*endpoint.targets[0].workers[1]->worker).set_reachable(false);
  for (int i = 0; i < 1000; ++i) {
    const std::string place = StickyPlace(endpoint, Sequence(i));
    EXPECT_NE(place, "1b");
    if (before[i] != "1b") {
      EXPECT_EQ(place, before[i]);
    }
  }
}

TEST(ChooseWorkerTest, TheLeastBusyOfThoseThatAnswerIsAsked) {
  const Endpoint endpoint = MakeEndpoint({{1, {"a", "b", "c"}}});
  const Target& target = endpoint.targets[0];
  target.workers[0]->worker->in_flight() = 3;
  target.workers[1]->worker->in_flight() = 1;
  target.workers[2]->worker->in_flight() = 2;
  EXPECT_EQ(ChooseWorker(target, nullptr, 7), target.workers[1]);
  EXPECT_EQ(ChooseWorker(target, target.workers[1].get(), 7), target.workers[2]);
  static_cast<IdleWorker&>(*target.workers[1]->worker).set_reachable(false);
  EXPECT_EQ(ChooseWorker(target, nullptr, 7), target.workers[2]);
}

TEST(ChooseWorkerTest, OneThatIsSetAsideIsAskedBeforeOneThatCannotBeReached) {
  const auto workers = IdleWorkers(2);
  Outliers outliers;
  Target target;
  target.workers = outliers.SetWorkers(workers);
  for (int i = 0; i < 5; ++i) {
    outliers.Record(*target.workers[0], Outliers::Result::kFailed, absl::Seconds(1));
  }
  for (uint64_t i = 0; i < 10; ++i) {
    EXPECT_EQ(ChooseWorker(target, nullptr, Sequence(static_cast<int>(i))), target.workers[1]);
    EXPECT_EQ(ChooseStickyWorker(target, nullptr, i), target.workers[1]);
  }
  static_cast<IdleWorker&>(*workers[1]).set_reachable(false);
  EXPECT_EQ(ChooseWorker(target, nullptr, 7), target.workers[0]);
}

TEST(ShadowTest, ItsShareOfAllCallsIsCopied) {
  Shadow shadow;
  const auto copied = [&](double share) {
    shadow.share = share;
    int count = 0;
    for (int i = 0; i < 2000; ++i) count += shadow.Copies(Sequence(i)) ? 1 : 0;
    return count;
  };
  EXPECT_EQ(copied(0), 0);
  EXPECT_NEAR(copied(0.1), 200, 60);
  EXPECT_EQ(copied(1), 2000);
}

}  // namespace
}  // namespace slipway::gateway
