#include "services/training/search/search.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string_view>
#include <utility>

#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "google/protobuf/util/json_util.h"
#include "google/protobuf/util/time_util.h"
#include "services/training/spec/gates.h"
#include "services/training/spec/problems.h"
#include "services/training/trainer/data/random.h"

namespace slipway::training {
namespace {

using nlohmann::json;

constexpr int kMaxFields = 32;
constexpr int kMaxValues = 1000;
constexpr int kMaxTrials = 1000;
constexpr int kMaxParallel = 100;
constexpr int kDefaultParallel = 4;
constexpr int kDefaultReduction = 3;
constexpr int kMaxReduction = 16;
constexpr char kDefaultMetric[] = "loss";
// What decides which rows a trial is judged on: trials would not be comparable.
constexpr std::string_view kSame[] = {"data.source",
                                      "data.train",
                                      "data.test",
                                      "data.test_fraction",
                                      "data.validation_fraction",
                                      "data.split",
                                      "data.drop_duplicates",
                                      "training.seed"};
constexpr std::string_view kRooms[] = {"data",      "architecture", "loss",
                                       "optimizer", "schedule",     "training"};

// "architecture.channels[0]" as "/architecture/channels/0"; absent where it is none.
std::optional<json::json_pointer> ParsePath(std::string_view path) {
  std::string pointer;
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('.', start), path.size());
    std::string_view part = path.substr(start, end - start);
    start = end + 1;
    const size_t bracket = part.find('[');
    const std::string_view name = part.substr(0, bracket);
    const bool is_name = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!is_name) return std::nullopt;
    pointer += fmt::format("/{}", name);
    if (bracket == std::string_view::npos) continue;
    part.remove_prefix(bracket);
    const std::string_view digits = part.substr(1, part.size() - 2);
    if (!part.ends_with(']') || digits.empty() || digits.size() > 5 ||
        digits.find_first_not_of("0123456789") != std::string_view::npos) {
      return std::nullopt;
    }
    pointer += fmt::format("/{}", std::stoi(std::string(digits)));
  }
  return json::json_pointer(pointer);
}

bool IsBelow(std::string_view path, std::string_view room) {
  return path == room ||
         (path.starts_with(room) && (path[room.size()] == '.' || path[room.size()] == '['));
}

// From 0 to 1, as a number of the field's range.
json InRange(const v1::SearchField& field, double share) {
  const double low = field.range(0);
  const double high = field.range(1);
  double value = low + share * (high - low);
  if (field.scale() == "log") value = low * std::pow(high / low, share);
  value = std::clamp(value, low, high);
  if (field.integer()) return static_cast<int64_t>(std::llround(value));
  return value;
}

void CheckRangeOf(const std::string& path, const v1::SearchField& field, bool grid,
                  Problems& problems) {
  if (field.range_size() != 2 || !std::isfinite(field.range(0)) || !std::isfinite(field.range(1)) ||
      !(field.range(0) < field.range(1))) {
    return problems.Add(path + ".range", "must be two numbers, the smaller one first");
  }
  if (!field.scale().empty() && field.scale() != "uniform" && field.scale() != "log") {
    problems.Add(path + ".scale",
                 fmt::format("must be one of uniform, log, got \"{}\"", field.scale()));
  }
  if (field.scale() == "log" && field.range(0) <= 0) {
    problems.Add(path + ".range", "must be above 0 for scale: log");
  }
  if (grid) {
    problems.CheckRange(path + ".steps", field.steps(), 2, kMaxValues);
  } else if (field.steps() != 0) {
    problems.Add(path + ".steps", "is for method: grid");
  }
}

void CheckField(const std::string& path, const v1::SearchField& field, const std::string& method,
                Problems& problems) {
  const auto is = [&](std::string_view room) { return IsBelow(field.path(), room); };
  if (!ParsePath(field.path()).has_value() ||
      std::none_of(std::begin(kRooms), std::end(kRooms), is)) {
    problems.Add(path + ".path",
                 fmt::format("must be a field below one of {}, such as optimizer.learning_rate",
                             fmt::join(kRooms, ", ")));
  } else if (std::any_of(std::begin(kSame), std::end(kSame), is)) {
    problems.Add(path + ".path",
                 "must be the same in all trials: it decides what they are judged "
                 "on");
  } else if (method == "successive_halving" && is("training.epochs")) {
    problems.Add(path + ".path", "is what successive_halving itself changes");
  }
  if (field.values().empty()) return CheckRangeOf(path, field, method == "grid", problems);
  if (field.values_size() > kMaxValues) {
    problems.Add(path + ".values", fmt::format("must be at most {}", kMaxValues));
  }
  if (field.range_size() > 0 || !field.scale().empty() || field.integer() || field.steps() != 0) {
    problems.Add(path + ".values", "goes with none of range, scale, integer and steps");
  }
}

void CheckSearch(const v1::JobSpec& job, Problems& problems) {
  const v1::SearchSpec& search = job.search();
  const std::string& method = search.method();
  const bool halving = method == "successive_halving";
  if (method != "grid" && method != "random" && !halving) {
    problems.Add(
        "spec.search.method",
        fmt::format("must be one of grid, random, successive_halving, got \"{}\"", method));
  }
  if (search.fields().empty() || search.fields_size() > kMaxFields) {
    problems.Add("spec.search.fields", fmt::format("must be 1 to {}", kMaxFields));
  }
  std::set<std::string_view> paths;
  for (int i = 0; i < search.fields_size(); ++i) {
    const std::string path = fmt::format("spec.search.fields[{}]", i);
    CheckField(path, search.fields(i), method, problems);
    if (!paths.insert(search.fields(i).path()).second) {
      problems.Add(path + ".path", fmt::format("repeats {}", search.fields(i).path()));
    }
  }
  problems.CheckRange("spec.search.parallel", search.parallel(), 0, kMaxParallel);
  const v1::SearchBudget& budget = search.budget();
  if (method == "grid") {
    problems.CheckRange("spec.search.budget.trials", budget.trials(), 0, kMaxTrials);
  } else {
    problems.CheckRange("spec.search.budget.trials", budget.trials(), 1, kMaxTrials);
  }
  if (budget.has_time() && ToDuration(budget.time()) < absl::Seconds(1)) {
    problems.Add("spec.search.budget.time", "must be at least 1s");
  }
  if (halving) {
    problems.CheckRange("spec.search.first_epochs", search.first_epochs(), 0,
                        std::max(1, job.training().epochs()));
    if (search.reduction() != 0) {
      problems.CheckRange("spec.search.reduction", search.reduction(), 2, kMaxReduction);
    }
  } else {
    if (search.first_epochs() != 0) {
      problems.Add("spec.search.first_epochs", "is for method: successive_halving");
    }
    if (search.reduction() != 0) {
      problems.Add("spec.search.reduction", "is for method: successive_halving");
    }
  }
  if (!(job.data().validation_fraction() > 0)) {
    problems.Add("spec.search",
                 "needs spec.data.validation_fraction: trials are compared on that part");
  }
}

// A trial's spec is refused: for the value that its message names, or else that of `field`, the one
// that was changed last.
absl::Status Blame(const v1::SearchSpec& search, const std::map<int, json>& values, int field,
                   const absl::Status& status) {
  const std::string named = FieldOf(status);
  for (int i = 0; i < search.fields_size(); ++i) {
    if (IsBelow(named, "spec." + search.fields(i).path())) field = i;
  }
  return InvalidField(
      fmt::format("spec.search.fields[{}]", field),
      fmt::format("with the value {}: {}", values.at(field).dump(), std::string(status.message())));
}

bool IsBetter(const Search& search, double a, double b) {
  return search.higher_is_better() ? a > b : a < b;
}

// The indices of a rung's best trials, the best first.
std::vector<int> BestOf(const Search& search, std::span<const TrialSoFar> trials, int rung,
                        int count) {
  std::vector<const TrialSoFar*> with_result;
  for (const TrialSoFar& trial : trials) {
    if (trial.rung == rung && trial.metric.has_value()) with_result.push_back(&trial);
  }
  std::sort(with_result.begin(), with_result.end(), [&](const auto* a, const auto* b) {
    if (*a->metric != *b->metric) return IsBetter(search, *a->metric, *b->metric);
    return a->index < b->index;
  });
  std::vector<int> indices;
  for (const TrialSoFar* trial : with_result) {
    if (std::ssize(indices) < count) indices.push_back(trial->index);
  }
  return indices;
}

}  // namespace

absl::StatusOr<Search> Search::Parse(const v1::JobSpec& spec) {
  Problems problems;
  CheckSearch(spec, problems);
  RETURN_IF_ERROR(problems.Done());
  const v1::SearchSpec& asked = spec.search();
  Search search;
  search.job_ = spec;
  v1::JobSpec base = spec;
  base.clear_search();
  base.clear_alias();
  base.mutable_evaluation()->clear_at_least();
  base.mutable_evaluation()->clear_at_most();
  base.mutable_evaluation()->clear_no_worse_than();
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto printed = google::protobuf::util::MessageToJsonString(base, &text, options);
  if (!printed.ok()) return InvalidField("spec", "holds text that is not UTF-8");
  search.base_ = json::parse(text);

  int64_t combinations = 1;
  for (const v1::SearchField& field : asked.fields()) {
    search.places_.push_back(*ParsePath(field.path()));
    std::vector<json>& choices = search.choices_.emplace_back();
    for (const auto& value : field.values()) choices.push_back(ToJson(value));
    for (int i = 0; i < field.steps(); ++i) {
      choices.push_back(InRange(field, static_cast<double>(i) / (field.steps() - 1)));
    }
    combinations = std::min<int64_t>(combinations * std::max<int64_t>(1, std::ssize(choices)),
                                     int64_t{1} << 40);
  }
  int trials = asked.budget().trials();
  if (asked.method() == "grid") {
    if (combinations > kMaxTrials && (trials == 0 || trials > kMaxTrials)) {
      return InvalidField("spec.search.fields",
                          fmt::format("have {} combinations, and a search has at most {} trials",
                                      combinations, kMaxTrials));
    }
    if (trials == 0 || trials > combinations) trials = static_cast<int>(combinations);
  }

  // Each value by itself, beside the first of all others.
  std::map<int, json> first;
  for (int i = 0; i < asked.fields_size(); ++i) {
    const auto& choices = search.choices_[static_cast<size_t>(i)];
    first[i] = choices.empty() ? InRange(asked.fields(i), 0) : choices.front();
  }
  std::optional<Spec> parsed;
  for (int i = 0; i < asked.fields_size(); ++i) {
    std::vector<json> values = search.choices_[static_cast<size_t>(i)];
    if (values.empty()) values = {InRange(asked.fields(i), 0), InRange(asked.fields(i), 1)};
    for (const json& value : values) {
      std::map<int, json> changed = first;
      changed[i] = value;
      const absl::StatusOr<v1::JobSpec> job = search.With(changed);
      RETURN_IF_ERROR(job.status());
      absl::StatusOr<Spec> one = ParseSpec(*job);
      if (!one.ok()) return Blame(asked, changed, i, one.status());
      parsed = *std::move(one);
    }
  }
  RETURN_IF_ERROR(CheckMetric("spec.search.metric", asked.metric(), parsed->targets));
  search.time_limit_ = parsed->time_limit;
  *search.job_.mutable_resources() = parsed->job.resources();

  if (asked.method() != "successive_halving") {
    search.rungs_ = {{trials, 0}};
    return search;
  }
  const int reduction = asked.reduction() == 0 ? kDefaultReduction : asked.reduction();
  const int most = spec.training().epochs();
  for (int64_t epochs = std::max(1, asked.first_epochs());; epochs *= reduction) {
    // A rung of one trial has nobody to be compared with.
    if (epochs >= most || trials == 1) {
      search.rungs_.push_back({trials, most});
      return search;
    }
    search.rungs_.push_back({trials, static_cast<int>(epochs)});
    trials = std::max(1, trials / reduction);
  }
}

int Search::all_trials() const {
  int all = 0;
  for (const Rung& rung : rungs_) all += rung.trials;
  return all;
}

int Search::parallel() const {
  return job_.search().parallel() == 0 ? kDefaultParallel : job_.search().parallel();
}

absl::Duration Search::time_budget() const {
  return job_.search().budget().has_time() ? ToDuration(job_.search().budget().time())
                                           : absl::InfiniteDuration();
}

std::string Search::metric() const {
  const std::string& name = job_.search().metric();
  return fmt::format("validation_{}", name.empty() ? kDefaultMetric : name);
}

bool Search::higher_is_better() const { return HigherIsBetter(job_.search().metric()); }

json Search::ValueOf(int index, int field) const {
  const auto place = static_cast<size_t>(field);
  const std::vector<json>& choices = choices_[place];
  if (job_.search().method() == "grid") {
    // The last field changes first.
    size_t rest = static_cast<size_t>(index);
    for (size_t i = choices_.size() - 1; i > place; --i) rest /= choices_[i].size();
    return choices[rest % choices.size()];
  }
  trainer::Random random(static_cast<uint64_t>(job_.search().seed()),
                         static_cast<uint64_t>(index) * kMaxFields + place);
  if (!choices.empty()) return choices[random.Below(choices.size())];
  constexpr double kOne = 1ULL << 53;
  return InRange(job_.search().fields(field), static_cast<double>(random.Next() >> 11) / kOne);
}

absl::StatusOr<v1::JobSpec> Search::With(const std::map<int, json>& values) const {
  json changed = base_;
  for (const auto& [field, value] : values) {
    const json::json_pointer& place = places_[static_cast<size_t>(field)];
    const bool has_room = changed.contains(place.parent_pointer());
    json* const room = has_room ? &changed[place.parent_pointer()] : nullptr;
    const bool is_item = room != nullptr && room->is_array();
    if (room == nullptr || !(room->is_object() || is_item) ||
        (is_item && !changed.contains(place))) {
      return InvalidField(fmt::format("spec.search.fields[{}].path", field),
                          fmt::format("the spec has nothing that {} could be in",
                                      job_.search().fields(field).path()));
    }
    changed[place] = value;
  }
  v1::JobSpec job;
  const auto parsed = google::protobuf::util::JsonStringToMessage(changed.dump(), &job);
  if (!parsed.ok()) return InvalidField("spec.search.fields", parsed.ToString());
  return job;
}

v1::JobSpec Search::SpecOf(int index, int rung) const {
  std::map<int, json> values;
  for (int i = 0; i < job_.search().fields_size(); ++i) values[i] = ValueOf(index, i);
  // Parse() has seen to it that every value can be put in its place.
  v1::JobSpec job = *With(values);
  const int epochs = rungs_[static_cast<size_t>(rung)].epochs;
  if (epochs > 0) job.mutable_training()->set_epochs(epochs);
  return job;
}

std::map<std::string, google::protobuf::Value> Search::ValuesOf(int index) const {
  std::map<std::string, google::protobuf::Value> values;
  for (int i = 0; i < job_.search().fields_size(); ++i) {
    google::protobuf::Value value;
    (void)google::protobuf::util::JsonStringToMessage(ValueOf(index, i).dump(), &value);
    values[job_.search().fields(i).path()] = std::move(value);
  }
  return values;
}

SearchStep NextTrials(const Search& search, std::span<const TrialSoFar> trials) {
  int under_way = 0;
  absl::Duration left = search.time_budget();
  for (const TrialSoFar& trial : trials) {
    under_way += !trial.over;
    left -= trial.time;
  }
  SearchStep step;
  for (int rung = 0; rung < search.rungs(); ++rung) {
    std::vector<int> wanted;
    if (rung == 0) {
      for (int index = 0; index < search.trials(0); ++index) wanted.push_back(index);
    } else {
      wanted = BestOf(search, trials, rung - 1, search.trials(rung));
    }
    bool waits = false;
    for (const TrialSoFar& trial : trials) {
      if (trial.rung != rung) continue;
      waits = waits || !trial.over;
      std::erase(wanted, trial.index);
    }
    for (const int index : wanted) {
      const int free = search.parallel() - under_way;
      if (free <= 0) break;
      // An equal part of what is left, so that all together keep the budget.
      absl::Duration limit = left / free;
      if (limit < absl::Seconds(1)) break;
      if (search.time_limit() > absl::ZeroDuration()) {
        limit = std::min(limit, search.time_limit());
      }
      left -= limit;
      const bool limited = limit != absl::InfiniteDuration();
      step.begin.push_back({index, rung, limited ? limit : absl::ZeroDuration()});
      ++under_way;
    }
    if (waits || !step.begin.empty()) return step;
    // The budget is used up.
    if (!wanted.empty()) break;
  }
  step.done = true;
  return step;
}

std::optional<size_t> BestTrial(const Search& search, std::span<const TrialSoFar> trials) {
  std::optional<size_t> best;
  for (size_t i = 0; i < trials.size(); ++i) {
    if (!trials[i].metric.has_value()) continue;
    const bool better = !best.has_value() || trials[i].rung > trials[*best].rung ||
                        (trials[i].rung == trials[*best].rung &&
                         IsBetter(search, *trials[i].metric, *trials[*best].metric));
    if (better) best = i;
  }
  return best;
}

}  // namespace slipway::training
