#include "services/cli/metrics_view.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/cli/output.h"

namespace slipway::cli {

using nlohmann::json;

namespace {

constexpr size_t kMaxShownClasses = 12;

bool IsOfAClass(const std::string& metric) { return metric.find('/') != std::string::npos; }

}  // namespace

void PrintMetrics(std::ostream& out, const json& metrics, int width) {
  for (const auto& [name, value] : metrics.items()) {
    if (!IsOfAClass(name)) width = std::max(width, static_cast<int>(name.size()));
  }
  for (const auto& [name, value] : metrics.items()) {
    if (IsOfAClass(name)) continue;
    out << fmt::format("  {:<{}} {:.4f}\n", name, width, value.get<double>());
  }
}

void PrintClassMetrics(std::ostream& out, const json& metrics) {
  std::set<std::string> names;
  std::map<std::string, std::map<std::string, double>> classes;
  for (const auto& [name, value] : metrics.items()) {
    const size_t slash = name.find('/');
    if (slash == std::string::npos) continue;
    // A class may have a slash in its name; a metric has none.
    const std::string metric = name.substr(0, slash);
    names.insert(metric);
    classes[name.substr(slash + 1)][metric] = value.get<double>();
  }
  if (classes.empty()) return;

  std::vector<std::string> heads = {"CLASS"};
  for (std::string name : names) {
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    heads.push_back(std::move(name));
  }
  Table table(std::move(heads));
  for (const auto& [label, values] : classes) {
    std::vector<std::string> cells = {label};
    for (const std::string& name : names) {
      const auto value = values.find(name);
      cells.push_back(value == values.end() ? "" : fmt::format("{:.4f}", value->second));
    }
    table.Add(std::move(cells));
  }
  out << '\n';
  table.Print(out);
}

void PrintConfusionMatrix(std::ostream& out, const json& evaluation) {
  const json rows = evaluation.value("confusion_matrix", json::array());
  const json labels = evaluation.value("labels", json::array());
  if (rows.empty() || rows.size() > kMaxShownClasses) return;
  const auto label = [&](size_t c) {
    return c < labels.size() ? labels[c].get<std::string>() : fmt::format("{}", c);
  };
  std::vector<std::string> heads = {"TRUE \\ SAID"};
  for (size_t c = 0; c < rows.size(); ++c) heads.push_back(label(c));
  Table table(std::move(heads));
  for (size_t c = 0; c < rows.size(); ++c) {
    std::vector<std::string> cells = {label(c)};
    for (const json& count : rows[c]) cells.push_back(fmt::format("{}", count.get<int64_t>()));
    table.Add(std::move(cells));
  }
  out << '\n';
  table.Print(out);
}

}  // namespace slipway::cli
