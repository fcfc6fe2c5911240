#include "services/cli/metrics_view.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/cli/output.h"

namespace slipway::cli {

using nlohmann::json;

void PrintMetrics(std::ostream& out, const json& metrics, int width) {
  for (const auto& [name, value] : metrics.items()) {
    if (name.find('/') != std::string::npos) continue;
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

}  // namespace slipway::cli
