#include "services/cli/plan_view.h"

#include <cstdlib>
#include <ostream>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/cli/output.h"
#include "services/cli/progress.h"

namespace slipway::cli {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// "75.3s", as the platform writes durations.
double SecondsOf(const json& object, const char* key) {
  return std::strtod(TextOf(object, key).c_str(), nullptr);
}

std::string Count(double count) {
  if (count < 1e4) return fmt::format("{:.0f}", count);
  if (count < 1e6) return fmt::format("{:.1f} thousand", count / 1e3);
  return fmt::format("{:.1f} million", count / 1e6);
}

// The objects whose every field somebody chose.
bool IsChosen(const std::string& key) {
  return key == "architecture" || key == "loss" || key == "optimizer" || key == "schedule" ||
         key == "constant" || key == "values";
}

json WithoutDefaults(const json& value) {
  if (!value.is_object()) return value;
  json out = json::object();
  for (const auto& [key, field] : value.items()) {
    if (IsChosen(key)) {
      if (!field.empty()) out[key] = field;
      continue;
    }
    json kept = field;
    if (field.is_object()) kept = WithoutDefaults(field);
    if (field.is_array()) {
      kept = json::array();
      for (const json& item : field) kept.push_back(WithoutDefaults(item));
    }
    const bool says_nothing = kept.is_null() || kept == json(false) || kept == json(0) ||
                              kept == json("") || kept == json("0") ||
                              (kept.is_structured() && kept.empty());
    if (!says_nothing) out[key] = std::move(kept);
  }
  return out;
}

// Those of a spec come first, in this order.
constexpr const char* kOrder[] = {"model",    "dataset",  "base",         "name",      "type",
                                  "format",   "source",   "train",        "test",      "inputs",
                                  "targets",  "data",     "architecture", "loss",      "optimizer",
                                  "schedule", "training", "checkpoint",   "resources", "evaluation",
                                  "search",   "alias"};

// "testFraction", as the API answers, is "test_fraction".
std::string SnakeCase(const std::string& name) {
  std::string out;
  for (const char c : name) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c))) out += '_';
    out += absl::ascii_tolower(static_cast<unsigned char>(c));
  }
  return out;
}

ordered_json AsWritten(const json& value) {
  if (value.is_array()) {
    ordered_json list = ordered_json::array();
    for (const json& item : value) list.push_back(AsWritten(item));
    return list;
  }
  if (!value.is_object()) return ordered_json::parse(value.dump());
  ordered_json object = ordered_json::object();
  for (const char* key : kOrder) {
    if (value.contains(key)) object[key] = AsWritten(value[key]);
  }
  for (const auto& [key, field] : value.items()) {
    if (!object.contains(SnakeCase(key))) object[SnakeCase(key)] = AsWritten(field);
  }
  return object;
}

}  // namespace

ordered_json SpecOfPlan(const json& plan) {
  return AsWritten(WithoutDefaults(plan.value("spec", json::object())));
}

void PrintPlan(std::ostream& out, const json& plan) {
  const json spec = plan.value("spec", json::object());
  const json network = plan.value("network", json::object());
  const json memory = plan.value("memory", json::object());
  const auto line = [&](const char* what, const std::string& text) {
    out << fmt::format("  {:<11} {}\n", what, text);
  };
  out << fmt::format("{} on {}\n", TextOf(spec, "model"), TextOf(spec, "dataset"));
  line("rows",
       fmt::format("{}{:.0f} to train on, {:.0f} to watch it with, {:.0f} to test it on",
                   plan.value("sampled", false) ? "about " : "", NumberOf(plan, "trainRows"),
                   NumberOf(plan, "validationRows"), NumberOf(plan, "testRows")));
  line("network",
       fmt::format("{}: {} parameters, {} operations a row",
                   TextOf(spec.value("architecture", json::object()), "type"),
                   Count(NumberOf(network, "parameters")), Count(NumberOf(network, "rowFlops"))));
  line("memory",
       fmt::format("{} of the machine's {}: weights {}, a batch {}, rows {}",
                   Bytes(NumberOf(memory, "total")), Bytes(NumberOf(memory, "machine")),
                   Bytes(NumberOf(memory, "weights")), Bytes(NumberOf(memory, "activations")),
                   Bytes(NumberOf(memory, "rows"))));
  const double trials = NumberOf(plan, "trials");
  line("time", fmt::format("{} for {} steps{}, hardly less than {} or more than {}",
                           ClockText(SecondsOf(plan, "time")), Count(NumberOf(plan, "steps")),
                           trials > 0 ? fmt::format(" in each of up to {:.0f} trials", trials) : "",
                           ClockText(SecondsOf(plan, "shortestTime")),
                           ClockText(SecondsOf(plan, "longestTime"))));
  line("", TextOf(plan, "basis"));
  line("billed", fmt::format("about {:.0f} training seconds", SecondsOf(plan, "time")));
  for (const json& warning : plan.value("warnings", json::array())) {
    line("warning", warning.get<std::string>());
  }
  const json reasons = plan.value("reasons", json::array());
  if (reasons.empty()) return;
  out << "proposed\n";
  for (const json& reason : reasons) out << "  " << reason.get<std::string>() << '\n';
}

void PrintTrials(std::ostream& out, const json& job) {
  const json trials = job.value("trials", json::array());
  if (trials.empty()) return;
  std::vector<std::string> paths;
  const json first = trials[0].value("values", json::object());
  for (const auto& [path, value] : first.items()) {
    paths.push_back(path);
  }
  std::vector<std::string> heads = {"", "TRIAL", "RUNG", "STATE", "METRIC"};
  heads.insert(heads.end(), paths.begin(), paths.end());
  Table table(heads);
  for (const json& trial : trials) {
    std::vector<std::string> cells = {
        trial.value("best", false) ? "*" : "", LastSegment(TextOf(trial, "job")),
        TextOf(trial, "rung"), TextOf(trial, "state"),
        trial.contains("metric") ? fmt::format("{:.6g}", NumberOf(trial, "metric")) : ""};
    const json values = trial.value("values", json::object());
    for (const std::string& path : paths) {
      const json value = values.value(path, json());
      cells.push_back(value.is_number()   ? fmt::format("{:.6g}", value.get<double>())
                      : value.is_string() ? value.get<std::string>()
                                          : value.dump());
    }
    table.Add(std::move(cells));
  }
  table.Print(out);
}

}  // namespace slipway::cli
