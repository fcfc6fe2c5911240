#include "services/training/trainer/data/classes.h"

#include <algorithm>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "services/training/trainer/data/raw_table.h"

namespace slipway::trainer {
namespace {

constexpr size_t kMaxClasses = 100'000;
constexpr ptrdiff_t kMaxShownLabels = 20;
constexpr size_t kMaxShown = 60;

}  // namespace

Classes::Classes(const std::vector<std::string>& labels) : labels_(labels) {
  for (const std::string& label : labels_) {
    indices_.emplace(label, static_cast<int64_t>(indices_.size()));
  }
}

absl::StatusOr<int64_t> Classes::IndexOf(std::string_view name) {
  if (name.empty()) return absl::InvalidArgumentError("must be a class, and is empty");
  if (const auto found = indices_.find(name); found != indices_.end()) return found->second;
  if (labels_.empty() && indices_.size() < kMaxClasses) {
    return indices_.emplace(name, static_cast<int64_t>(indices_.size())).first->second;
  }
  if (labels_.empty()) {
    return absl::InvalidArgumentError(fmt::format("is one class more than {}", kMaxClasses));
  }
  const std::string known = std::ssize(labels_) <= kMaxShownLabels
                                ? fmt::format("one of {}", fmt::join(labels_, ", "))
                                : fmt::format("one of the {} classes", labels_.size());
  return absl::InvalidArgumentError(
      fmt::format("must be {}, got \"{}\"", known, name.substr(0, kMaxShown)));
}

void Classes::Finish(std::vector<int64_t>& indices, std::vector<std::string>& labels) const {
  if (!labels_.empty()) return;
  labels.clear();
  for (const auto& [name, index] : indices_) labels.push_back(name);
  const auto is_number = [](const std::string& name) { return ParseNumber(name).has_value(); };
  if (std::all_of(labels.begin(), labels.end(), is_number)) {
    std::stable_sort(labels.begin(), labels.end(), [](const std::string& a, const std::string& b) {
      return *ParseNumber(a) < *ParseNumber(b);
    });
  }
  std::vector<int64_t> places(labels.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    places[static_cast<size_t>(indices_.at(labels[i]))] = static_cast<int64_t>(i);
  }
  for (int64_t& index : indices) index = places[static_cast<size_t>(index)];
}

}  // namespace slipway::trainer
