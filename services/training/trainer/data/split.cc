#include "services/training/trainer/data/split.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "absl/time/civil_time.h"
#include "common/nn/column.h"
#include "fmt/format.h"
#include "services/training/trainer/data/raw_table.h"

namespace slipway::trainer {
namespace {

using Rows = std::vector<int64_t>;

constexpr char kColumnField[] = "spec.data.split.column";

size_t At(int64_t row) { return static_cast<size_t>(row); }

// Takes the last `count` of `rows`.
Rows TakeLast(Rows& rows, size_t count) {
  Rows taken(rows.end() - static_cast<ptrdiff_t>(count), rows.end());
  rows.resize(rows.size() - count);
  return taken;
}

// As many rows of each class as its share says. What rounding leaves over goes to the classes that
// it took the most from, so that the parts are as large as those of a random split.
Rows TakeStratified(Rows& rows, size_t count, std::span<const int64_t> classes, Random random) {
  std::map<int64_t, Rows> by_class;
  for (const int64_t row : rows) by_class[classes[At(row)]].push_back(row);
  const double share = static_cast<double>(count) / static_cast<double>(rows.size());
  std::vector<std::pair<double, int64_t>> left_over;  // what is missing to the next row, class
  std::map<int64_t, size_t> counts;
  size_t taken = 0;
  for (const auto& [label, members] : by_class) {
    const double exact = share * static_cast<double>(members.size());
    counts[label] = static_cast<size_t>(exact);
    taken += counts[label];
    left_over.emplace_back(std::floor(exact) - exact, label);
  }
  std::sort(left_over.begin(), left_over.end());
  for (size_t i = 0; taken < count; ++i, ++taken) ++counts[left_over[i].second];
  Rows out;
  rows.clear();
  for (auto& [label, members] : by_class) {
    Shuffle(members, random);
    const Rows part = TakeLast(members, counts[label]);
    out.insert(out.end(), part.begin(), part.end());
    rows.insert(rows.end(), members.begin(), members.end());
    random.Next();  // classes of one size are not to be drawn alike
  }
  return out;
}

absl::StatusOr<Rows> TakeGroups(Rows& rows, size_t count, std::span<const std::string_view> cells,
                                Random random) {
  std::map<std::string_view, Rows> groups;
  for (const int64_t row : rows) groups[cells[At(row)]].push_back(row);
  if (groups.size() < 2) {
    return InvalidField(kColumnField, "has one group: nothing to keep apart");
  }
  Rows order(groups.size());
  std::vector<const Rows*> members;
  for (const auto& [cell, group] : groups) {
    order[members.size()] = std::ssize(members);
    members.push_back(&group);
  }
  Shuffle(order, random);
  Rows taken;
  Rows kept;
  for (size_t i = 0; i < order.size(); ++i) {
    const Rows& group = *members[At(order[i])];
    // The first group is taken whatever its size, the last one never.
    const bool take = i == 0 || (i + 1 < order.size() && taken.size() + group.size() <= count);
    Rows& part = take ? taken : kept;
    part.insert(part.end(), group.begin(), group.end());
  }
  rows = std::move(kept);
  return taken;
}

// Seconds, or whatever the column counts.
absl::StatusOr<double> MomentOf(std::string_view cell) {
  if (const auto number = ParseNumber(cell)) return *number;
  if (const auto date = nn::ParseDate(cell)) {
    return static_cast<double>(*date - absl::CivilSecond(1970));
  }
  return InvalidField(kColumnField,
                      fmt::format("must hold numbers or dates, got \"{}\"", cell.substr(0, 60)));
}

absl::StatusOr<Rows> TakeLatest(Rows& rows, size_t count, std::span<const std::string_view> cells) {
  std::vector<std::pair<double, int64_t>> order;
  for (const int64_t row : rows) {
    ASSIGN_OR_RETURN(const double moment, MomentOf(cells[At(row)]));
    order.emplace_back(moment, row);
  }
  std::sort(order.begin(), order.end());
  for (size_t i = 0; i < rows.size(); ++i) rows[i] = order[i].second;
  return TakeLast(rows, count);
}

}  // namespace

absl::StatusOr<Rows> TakeShare(Rows& rows, double share, const training::v1::SplitSpec& split,
                               const SplitInputs& inputs, Random random, const std::string& field) {
  const auto count =
      static_cast<size_t>(std::max(1.0, std::round(share * static_cast<double>(rows.size()))));
  if (count >= rows.size()) {
    return InvalidField(field,
                        fmt::format("leaves nothing to train on: there are {} rows", rows.size()));
  }
  Rows taken;
  if (split.method() == "stratified") {
    taken = TakeStratified(rows, count, inputs.classes, random);
  } else if (split.method() == "group") {
    ASSIGN_OR_RETURN(taken, TakeGroups(rows, count, inputs.cells, random));
  } else if (split.method() == "time") {
    ASSIGN_OR_RETURN(taken, TakeLatest(rows, count, inputs.cells));
  } else {
    Shuffle(rows, random);
    taken = TakeLast(rows, count);
  }
  std::sort(rows.begin(), rows.end());
  std::sort(taken.begin(), taken.end());
  return taken;
}

}  // namespace slipway::trainer
