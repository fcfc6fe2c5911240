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

namespace slipway::gateway {
namespace {

using testing::SizeIs;

class UnusedWorker final : public Worker {
 public:
  using Worker::Worker;
  std::shared_ptr<WorkerCall> Call(std::string_view, const Options&, absl::Cord, Done) override {
    return nullptr;
  }
  bool reachable() const override { return true; }
};

// Versions from 1 on: their weights, each on workers of these addresses.
Endpoint MakeEndpoint(const std::vector<std::pair<int, std::vector<std::string>>>& versions) {
  Endpoint endpoint;
  for (const auto& [weight, workers] : versions) {
    Target& target = endpoint.targets.emplace_back();
    target.version = std::to_string(endpoint.targets.size());
    target.weight = weight;
    for (const std::string& address : workers) {
      target.workers.push_back(std::make_shared<UnusedWorker>(address));
    }
  }
  return endpoint;
}

std::string TextOf(const Place& place) { return place.target->version + place.worker->address(); }

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

}  // namespace
}  // namespace slipway::gateway
