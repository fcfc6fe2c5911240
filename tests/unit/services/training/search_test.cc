#include "services/training/search/search.h"

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "services/training/spec/spec.h"
#include "tests/support/training/example_spec.h"

namespace slipway::training {
namespace {

using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// ExampleSpec() with a part to compare trials on and this search, as JSON.
v1::JobSpec WithSearch(const std::string& search) {
  v1::JobSpec spec = ExampleSpec();
  spec.mutable_data()->set_validation_fraction(0.1);
  spec.mutable_training()->set_epochs(9);
  const auto parsed = google::protobuf::util::JsonStringToMessage(search, spec.mutable_search());
  EXPECT_TRUE(parsed.ok()) << parsed.ToString();
  return spec;
}

Search MustParse(const v1::JobSpec& spec) {
  auto search = Search::Parse(spec);
  EXPECT_TRUE(search.ok()) << search.status();
  return *std::move(search);
}

constexpr char kGrid[] = R"({"method": "grid", "fields": [
    {"path": "architecture.hidden", "values": [[16], [32, 16]]},
    {"path": "optimizer.learning_rate", "range": [0.001, 0.1], "scale": "log", "steps": 3}]})";
constexpr char kRandom[] = R"({"method": "random", "budget": {"trials": 20}, "fields": [
    {"path": "training.batch_size", "range": [8, 64], "integer": true},
    {"path": "optimizer.learning_rate", "range": [0.001, 0.1], "scale": "log"}]})";
constexpr char kHalving[] =
    R"({"method": "successive_halving", "budget": {"trials": 9}, "parallel": 9, "fields": [
    {"path": "optimizer.learning_rate", "range": [0.001, 0.1]}]})";

double RateOf(const v1::JobSpec& spec) {
  return spec.optimizer().fields().at("learning_rate").number_value();
}

// ---- Which trials there are. ----

TEST(SearchTest, AGridIsEveryCombinationTheLastFieldFirst) {
  const Search search = MustParse(WithSearch(kGrid));
  ASSERT_EQ(search.rungs(), 1);
  ASSERT_EQ(search.trials(0), 6);
  std::vector<std::string> seen;
  for (int i = 0; i < 6; ++i) {
    const v1::JobSpec spec = search.SpecOf(i, 0);
    const auto parsed = ParseSpec(spec);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    const auto& hidden = spec.architecture().fields().at("hidden").list_value();
    seen.push_back(std::to_string(hidden.values_size()) + " " + std::to_string(RateOf(spec)));
  }
  EXPECT_THAT(seen, ElementsAre("1 0.001000", "1 0.010000", "1 0.100000", "2 0.001000",
                                "2 0.010000", "2 0.100000"));
}

TEST(SearchTest, RandomTrialsLieInTheirRangesAndAreTheSameEachTime) {
  const Search search = MustParse(WithSearch(kRandom));
  const Search again = MustParse(WithSearch(kRandom));
  ASSERT_EQ(search.trials(0), 20);
  std::set<double> rates;
  int below = 0;
  for (int i = 0; i < 20; ++i) {
    const v1::JobSpec spec = search.SpecOf(i, 0);
    EXPECT_TRUE(MessageDifferencer::Equals(spec, again.SpecOf(i, 0)));
    EXPECT_GE(spec.training().batch_size(), 8);
    EXPECT_LE(spec.training().batch_size(), 64);
    EXPECT_GE(RateOf(spec), 0.001);
    EXPECT_LE(RateOf(spec), 0.1);
    below += RateOf(spec) < 0.01;
    rates.insert(RateOf(spec));
  }
  EXPECT_EQ(rates.size(), 20u);
  // By the logarithm half of them are expected there, and evenly one in eleven.
  EXPECT_GE(below, 5);
}

TEST(SearchTest, AnotherSeedTriesOtherValues) {
  v1::JobSpec other = WithSearch(kRandom);
  other.mutable_search()->set_seed(1);
  EXPECT_NE(RateOf(MustParse(WithSearch(kRandom)).SpecOf(0, 0)),
            RateOf(MustParse(other).SpecOf(0, 0)));
}

TEST(SearchTest, HalvingGivesFewerTrialsMoreEpochs) {
  const Search search = MustParse(WithSearch(kHalving));
  ASSERT_EQ(search.rungs(), 3);
  EXPECT_EQ(search.trials(0), 9);
  EXPECT_EQ(search.trials(1), 3);
  EXPECT_EQ(search.trials(2), 1);
  EXPECT_EQ(search.SpecOf(4, 0).training().epochs(), 1);
  EXPECT_EQ(search.SpecOf(4, 1).training().epochs(), 3);
  EXPECT_EQ(search.SpecOf(4, 2).training().epochs(), 9);
  EXPECT_EQ(RateOf(search.SpecOf(4, 0)), RateOf(search.SpecOf(4, 2)));
  EXPECT_EQ(search.all_trials(), 13);
}

TEST(SearchTest, ATrialHasNoAliasAndNoBoundOfItsOwn) {
  v1::JobSpec spec = WithSearch(kGrid);
  spec.set_alias("production");
  (*spec.mutable_evaluation()->mutable_at_least())["accuracy"] = 0.9;
  const v1::JobSpec trial = MustParse(spec).SpecOf(0, 0);
  EXPECT_TRUE(trial.alias().empty());
  EXPECT_TRUE(trial.evaluation().at_least().empty());
  EXPECT_FALSE(trial.has_search());
}

// ---- What is refused. ----

TEST(SearchTest, NamesWhatIsWrong) {
  struct Row {
    std::function<void(v1::SearchSpec&)> spoil;
    const char* error;
  };
  const auto field = [](v1::SearchSpec& search) -> v1::SearchField& {
    return *search.mutable_fields(1);
  };
  const auto set_path = [&](const char* path) {
    return [=](v1::SearchSpec& search) { search.mutable_fields(1)->set_path(path); };
  };
  const Row rows[] = {
      {[](auto& s) { s.set_method("bayes"); }, "spec.search.method: must be one of grid, random"},
      {[](auto& s) { s.clear_method(); }, "spec.search.method: must be one of grid"},
      {[](auto& s) { s.clear_fields(); }, "spec.search.fields: must be 1 to 32"},
      {set_path("optimizer..rate"), "spec.search.fields[1].path: must be a field below"},
      {set_path("optimizer.rate["), "spec.search.fields[1].path: must be a field below"},
      {set_path("model"), "spec.search.fields[1].path: must be a field below"},
      {set_path("evaluation.recorded_samples"), "spec.search.fields[1].path: must be a field"},
      {set_path("resources.threads"), "spec.search.fields[1].path: must be a field below"},
      {set_path("data.validation_fraction"), "spec.search.fields[1].path: must be the same"},
      {set_path("training.seed"), "spec.search.fields[1].path: must be the same in all"},
      {set_path("architecture.hidden"), "spec.search.fields[1].path: repeats architecture.hidden"},
      {set_path("optimizer.no_such"), "spec.search.fields[1]: with the value 0.001: "},
      {set_path("schedule.gamma"), "spec.search.fields[1].path: the spec has nothing that"},
      {set_path("architecture.hidden[9]"), "spec.search.fields[1].path: the spec has nothing"},
      {[&](auto& s) { field(s).clear_range(); }, "spec.search.fields[1].range: must be two"},
      {[&](auto& s) { field(s).set_range(0, 5); }, "spec.search.fields[1].range: must be two"},
      {[&](auto& s) { field(s).set_range(0, 0); }, "spec.search.fields[1].range: must be above 0"},
      {[&](auto& s) { field(s).set_range(1, 1e9); },
       "spec.search.fields[1]: with the value 1000000000"},
      {[&](auto& s) { field(s).set_scale("cubic"); }, "spec.search.fields[1].scale: must be one"},
      {[&](auto& s) { field(s).set_steps(1); }, "spec.search.fields[1].steps: must be between 2"},
      {[&](auto& s) { field(s).set_steps(900); }, "spec.search.fields: have 1800 combinations"},
      {[&](auto& s) { field(s).add_values()->set_number_value(1); },
       "spec.search.fields[1].values: goes with none of range"},
      {[](auto& s) { s.mutable_fields(0)->mutable_values(1)->set_string_value("wide"); },
       "spec.search.fields[0]: with the value \"wide\": spec.architecture.hidden"},
      {[](auto& s) { s.set_metric("r2"); }, "spec.search.metric: is no metric of this loss"},
      {[](auto& s) { s.set_parallel(-1); }, "spec.search.parallel: must be between 0 and 100"},
      {[](auto& s) { s.set_reduction(2); }, "spec.search.reduction: is for method: success"},
      {[](auto& s) { s.set_first_epochs(2); }, "spec.search.first_epochs: is for method: succ"},
      {[](auto& s) { s.mutable_budget()->set_trials(-1); }, "spec.search.budget.trials: must be"},
      {[](auto& s) { s.set_method("random"); }, "spec.search.fields[1].steps: is for method: grid"},
      {[](auto& s) { s.mutable_budget()->mutable_time()->set_nanos(1); },
       "spec.search.budget.time: must be at least 1s"},
  };
  for (const Row& row : rows) {
    v1::JobSpec spec = WithSearch(kGrid);
    row.spoil(*spec.mutable_search());
    EXPECT_THAT(std::string(Search::Parse(spec).status().message()), StartsWith(row.error));
  }
}

TEST(SearchTest, NeedsAPartToCompareTrialsOn) {
  v1::JobSpec spec = WithSearch(kGrid);
  spec.mutable_data()->clear_validation_fraction();
  EXPECT_EQ(Search::Parse(spec).status().message(),
            "spec.search: needs spec.data.validation_fraction: trials are compared on that part");
}

TEST(SearchTest, HalvingDecidesAboutTheEpochsByItself) {
  v1::JobSpec spec = WithSearch(kHalving);
  spec.mutable_search()->mutable_fields(0)->set_path("training.epochs");
  EXPECT_THAT(std::string(Search::Parse(spec).status().message()),
              StartsWith("spec.search.fields[0].path: is what successive_halving itself changes"));
}

TEST(SearchTest, NoTrainerTakesASearch) {
  EXPECT_EQ(FieldOf(ParseSpec(WithSearch(kGrid)).status()), "spec.search");
}

// ---- What comes next. ----

TrialSoFar Over(int index, int rung, double metric) {
  return {.index = index, .rung = rung, .over = true, .metric = metric, .time = absl::Seconds(10)};
}
TrialSoFar Lost(int index, int rung = 0) {
  return {.index = index, .rung = rung, .over = true, .metric = {}, .time = absl::Seconds(10)};
}
TrialSoFar UnderWay(int index, int rung = 0, absl::Duration limit = absl::ZeroDuration()) {
  return {.index = index, .rung = rung, .over = false, .metric = {}, .time = limit};
}

std::vector<int> Begun(const SearchStep& step) {
  std::vector<int> indices;
  for (const NewTrial& trial : step.begin) indices.push_back(trial.index);
  return indices;
}

TEST(NextTrialsTest, KeepsAsManyUnderWayAsMayBe) {
  v1::JobSpec spec = WithSearch(kGrid);
  spec.mutable_search()->set_parallel(2);
  const Search search = MustParse(spec);
  EXPECT_THAT(Begun(NextTrials(search, {})), ElementsAre(0, 1));
  const TrialSoFar two[] = {Over(0, 0, 1), UnderWay(1)};
  EXPECT_THAT(Begun(NextTrials(search, two)), ElementsAre(2));
  const TrialSoFar full[] = {UnderWay(0), UnderWay(1)};
  EXPECT_THAT(Begun(NextTrials(search, full)), IsEmpty());
  EXPECT_FALSE(NextTrials(search, full).done);
}

TEST(NextTrialsTest, IsDoneOnceAllAreOver) {
  const Search search = MustParse(WithSearch(kGrid));
  std::vector<TrialSoFar> trials = {Over(0, 0, 3), Over(1, 0, 1), Lost(2),
                                    Over(3, 0, 1), Over(4, 0, 2), UnderWay(5)};
  EXPECT_FALSE(NextTrials(search, trials).done);
  trials[5].over = true;
  EXPECT_TRUE(NextTrials(search, trials).done);
  // The lowest loss, of equal ones the first.
  EXPECT_EQ(BestTrial(search, trials), 1u);
}

TEST(NextTrialsTest, SomeMetricsAreBetterWhenHigher) {
  v1::JobSpec spec = WithSearch(kGrid);
  spec.mutable_search()->set_metric("accuracy");
  const Search search = MustParse(spec);
  EXPECT_EQ(search.metric(), "validation_accuracy");
  const TrialSoFar trials[] = {Over(0, 0, 0.3), Over(1, 0, 0.9), Lost(2)};
  EXPECT_EQ(BestTrial(search, trials), 1u);
}

TEST(NextTrialsTest, NoneIsTheBestOfThoseWithoutAResult) {
  const TrialSoFar trials[] = {Lost(0), UnderWay(1)};
  EXPECT_EQ(BestTrial(MustParse(WithSearch(kGrid)), trials), std::nullopt);
}

TEST(NextTrialsTest, TheBestOfARungAreTrainedLonger) {
  const Search search = MustParse(WithSearch(kHalving));
  std::vector<TrialSoFar> trials;
  for (int i = 0; i < 9; ++i) trials.push_back(Over(i, 0, 9 - i));
  trials[8] = UnderWay(8);
  EXPECT_THAT(Begun(NextTrials(search, trials)), IsEmpty());
  trials[8] = Lost(8);
  const SearchStep step = NextTrials(search, trials);
  EXPECT_THAT(step.begin, ElementsAre(NewTrial{7, 1, {}}, NewTrial{6, 1, {}}, NewTrial{5, 1, {}}));
  for (const int i : {7, 6, 5}) trials.push_back(Over(i, 1, i));
  EXPECT_THAT(NextTrials(search, trials).begin, ElementsAre(NewTrial{5, 2, {}}));
  // A loss of many epochs is no better for being worse than one of few.
  trials.push_back(Over(5, 2, 100));
  EXPECT_TRUE(NextTrials(search, trials).done);
  EXPECT_EQ(BestTrial(search, trials), trials.size() - 1);
}

TEST(NextTrialsTest, TrialsShareTheTimeThatIsLeft) {
  v1::JobSpec spec = WithSearch(kGrid);
  spec.mutable_search()->set_parallel(2);
  spec.mutable_search()->mutable_budget()->mutable_time()->set_seconds(100);
  const Search search = MustParse(spec);
  EXPECT_THAT(NextTrials(search, {}).begin,
              ElementsAre(NewTrial{0, 0, absl::Seconds(50)}, NewTrial{1, 0, absl::Seconds(50)}));
  // The first has left 40 seconds of its share.
  const TrialSoFar trials[] = {Over(0, 0, 1), UnderWay(1, 0, absl::Seconds(50))};
  EXPECT_THAT(NextTrials(search, trials).begin, ElementsAre(NewTrial{2, 0, absl::Seconds(40)}));
  // None is left.
  TrialSoFar long_one = Over(0, 0, 1);
  long_one.time = absl::Seconds(100);
  const TrialSoFar spent[] = {long_one};
  EXPECT_THAT(NextTrials(search, spent).begin, IsEmpty());
  EXPECT_TRUE(NextTrials(search, spent).done);
}

TEST(NextTrialsTest, TheSpecsOwnTimeLimitHoldsForEachTrial) {
  v1::JobSpec spec = WithSearch(kGrid);
  spec.mutable_search()->set_parallel(1);
  spec.mutable_search()->mutable_budget()->mutable_time()->set_seconds(100);
  spec.mutable_resources()->mutable_time_limit()->set_seconds(7);
  EXPECT_THAT(NextTrials(MustParse(spec), {}).begin, ElementsAre(NewTrial{0, 0, absl::Seconds(7)}));
}

}  // namespace
}  // namespace slipway::training
