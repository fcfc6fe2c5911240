#include "common/config/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include "common/config/node.h"
#include "common/fields/field_reader.h"
#include "common/fields/json.h"
#include "common/files/files.h"
#include "common/log/log.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "nlohmann/json.hpp"
#include "yaml-cpp/yaml.h"

namespace slipway {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxConfigBytes = 4 << 20;
constexpr uint64_t kMaxSecretBytes = 64 << 10;

// A config struct that cannot be right is a bug of ours, seen at the first start.
[[noreturn]] void BrokenStruct(std::string_view name, const char* problem) {
  std::fprintf(stderr, "config field \"%s\" %s\n", std::string(name).c_str(), problem);
  std::abort();
}

std::string Upper(std::string_view text) {
  std::string upper;
  for (const char c : text) {
    upper.push_back(
        c == '.' || c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<uint8_t>(c))));
  }
  return upper;
}

std::string Bounds(double min, double max, const std::function<std::string(double)>& show) {
  const bool lower = min > std::numeric_limits<double>::lowest();
  const bool upper = max < std::numeric_limits<double>::max();
  if (lower && upper) return fmt::format("must be between {} and {}", show(min), show(max));
  return lower ? fmt::format("must be at least {}", show(min))
               : fmt::format("must be at most {}", show(max));
}

std::string Show(double value) { return fmt::format("{}", value); }

}  // namespace

absl::Status SecretFile::Load() {
  if (path_.empty()) return absl::OkStatus();
  struct stat info {};
  if (::stat(path_.c_str(), &info) != 0) return FromErrno(errno, "cannot read secret", path_);
  if ((info.st_mode & (S_IWGRP | S_IRWXO)) != 0) {
    Log(Severity::kWarning, "secret_file_found_open",
        {{"file", path_}, {"mode", fmt::format("{:04o}", info.st_mode & 07777)}});
  }
  ASSIGN_OR_RETURN(std::string text, ReadFile(path_, kMaxSecretBytes));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  secret_ = Secret(std::move(text));
  if (secret_.empty()) {
    return absl::InvalidArgumentError(fmt::format("the secret file {} is empty", path_));
  }
  return absl::OkStatus();
}

// ---- Describing. ----

ConfigFields::Node& ConfigFields::Add(std::string_view name, std::string_view doc) {
  if (name.empty() ||
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") != std::string_view::npos) {
    BrokenStruct(name, "is not lower_snake_case");
  }
  for (const auto& node : nodes_) {
    if (node->name == name) BrokenStruct(name, "is described twice");
  }
  auto node = std::make_shared<Node>();
  node->name = name;
  node->doc = doc;
  return *nodes_.emplace_back(std::move(node));
}

void ConfigFields::Field(std::string_view name, std::string& value, std::string_view doc) {
  Add(name, doc).value = &value;
}
void ConfigFields::Field(std::string_view name, bool& value, std::string_view doc) {
  Add(name, doc).value = &value;
}
void ConfigFields::Field(std::string_view name, double& value, std::string_view doc,
                         ConfigRange range) {
  Add(name, doc).value = Node::Real{&value, range};
}
void ConfigFields::Field(std::string_view name, absl::Duration& value, std::string_view doc,
                         ConfigDurationRange range) {
  Add(name, doc).value = Node::Duration{&value, range};
}
void ConfigFields::Field(std::string_view name, std::vector<std::string>& value,
                         std::string_view doc) {
  Add(name, doc).value = &value;
}
void ConfigFields::Field(std::string_view name, SecretFile& value, std::string_view doc) {
  Add(name, doc).value = &value;
}
void ConfigFields::Choice(std::string_view name, std::string& value,
                          std::initializer_list<std::string_view> choices, std::string_view doc) {
  Add(name, doc).value = Node::Choice{&value, {choices.begin(), choices.end()}};
}
void ConfigFields::AddInteger(std::string_view name, std::function<int64_t()> get,
                              std::function<void(int64_t)> set, std::string_view doc,
                              ConfigRange range, int64_t type_min, int64_t type_max) {
  Add(name, doc).value = Node::Integer{std::move(get), std::move(set), range, type_min, type_max};
}
ConfigFields& ConfigFields::AddGroup(std::string_view name, std::string_view doc) {
  Node& node = Add(name, doc);
  node.value = Node::Group{std::make_unique<ConfigFields>()};
  return *std::get<Node::Group>(node.value).fields;
}
void ConfigFields::AddList(std::string_view name, std::function<size_t()> size,
                           std::function<void(size_t)> resize, ItemVisitor visit_item,
                           std::string_view doc) {
  Add(name, doc).value = Node::List{std::move(size), std::move(resize), std::move(visit_item)};
}

void ConfigFields::CollectLeaves(const std::string& prefix, std::vector<Leaf>& leaves) const {
  for (const auto& node : nodes_) {
    const std::string key = JoinPath(prefix, node->name);
    if (const auto* group = std::get_if<Node::Group>(&node->value)) {
      group->fields->CollectLeaves(key, leaves);
    } else {
      leaves.push_back({key, Upper(key), node.get()});
    }
  }
}

std::vector<ConfigFields::Leaf> ConfigFields::Leaves() const {
  std::vector<Leaf> leaves;
  CollectLeaves("", leaves);
  std::set<std::string> seen;
  for (const Leaf& leaf : leaves) {
    if (!seen.insert(leaf.environment).second) {
      BrokenStruct(leaf.key, "has the same environment variable as another");
    }
  }
  return leaves;
}

std::string EnvironmentPrefix(std::string_view service) {
  return fmt::format("SLIPWAY_{}_", Upper(service));
}

// ---- Loading. ----

// Puts values into fields and collects what is wrong with them.
class ConfigFields::Loader {
 public:
  // `source` begins each problem: a file's name, a variable's name.
  void Begin(std::string source) { source_ = std::move(source); }

  // `yaml` is where `value` was read, for its line, or undefined.
  void LoadObject(ConfigFields& fields, const json& value, const YAML::Node& yaml,
                  const std::string& path) {
    if (!value.is_object()) {
      return Problem(path, LineOf(yaml), fmt::format("must hold settings, got {}", Got(value)));
    }
    for (const auto& [key, item] : value.items()) {
      const auto [line, below] = Find(yaml, key);
      const std::string item_path = JoinPath(path, key);
      Node* node = nullptr;
      std::vector<std::string_view> names;
      for (const auto& candidate : fields.nodes_) {
        names.push_back(candidate->name);
        if (candidate->name == key) node = candidate.get();
      }
      if (node == nullptr) {
        Unknown(item_path, line, NearestName(key, names));
      } else if (!item.is_null()) {
        LoadNode(*node, item, line, below, item_path);
      }
    }
  }

  // A value that came as text, from a variable or --set.
  void LoadText(Node& node, std::string_view text, const std::string& key) {
    const absl::StatusOr<json> value = ParseText(node, text);
    if (!value.ok()) return Problem(key, 0, std::string(value.status().message()));
    LoadNode(node, *value, 0, YAML::Node(YAML::NodeType::Undefined), key);
  }

  void Unknown(const std::string& key, int line, std::string_view nearest) {
    Problem(key, line,
            nearest.empty() ? "is not a setting"
                            : fmt::format("is not a setting; did you mean {}?", nearest));
  }

  void Problem(std::string_view key, int line, std::string_view problem) {
    std::string text = source_;
    if (line > 0) text += fmt::format(":{}", line);
    if (!key.empty()) text += fmt::format(": {}", key);
    problems_.push_back(fmt::format("{}: {}", text, problem));
  }

  absl::Status Done() const {
    if (problems_.empty()) return absl::OkStatus();
    return absl::InvalidArgumentError(fmt::format("{}", fmt::join(problems_, "\n")));
  }

 private:
  static std::string Got(const json& value) {
    std::string text = value.dump(-1, ' ', false, json::error_handler_t::replace);
    return text.size() <= 60 ? text : text.substr(0, 60) + "...";
  }

  static int LineOf(const YAML::Node& yaml) {
    return yaml.IsDefined() && yaml.Mark().line >= 0 ? yaml.Mark().line + 1 : 0;
  }

  // The line of `key` in a map, and what stands there.
  static std::pair<int, YAML::Node> Find(const YAML::Node& yaml, const std::string& key) {
    if (yaml.IsDefined() && yaml.IsMap()) {
      for (const auto& entry : yaml) {
        if (entry.first.IsScalar() && entry.first.Scalar() == key) {
          return {LineOf(entry.first), entry.second};
        }
      }
    }
    return {0, YAML::Node(YAML::NodeType::Undefined)};
  }

  static absl::StatusOr<json> ParseText(const Node& node, std::string_view text) {
    if (std::holds_alternative<std::vector<std::string>*>(node.value) && !text.starts_with('[')) {
      json list = json::array();
      while (!text.empty()) {
        const size_t comma = std::min(text.find(','), text.size());
        list.push_back(std::string(text.substr(0, comma)));
        text.remove_prefix(std::min(comma + 1, text.size()));
      }
      return list;
    }
    if (std::holds_alternative<std::string*>(node.value) ||
        std::holds_alternative<SecretFile*>(node.value) ||
        std::holds_alternative<Node::Choice>(node.value) ||
        std::holds_alternative<Node::Duration>(node.value)) {
      return json(std::string(text));
    }
    return ParseYaml(text, "");
  }

  void LoadNode(Node& node, const json& value, int line, const YAML::Node& yaml,
                const std::string& path) {
    if (auto* group = std::get_if<Node::Group>(&node.value)) {
      return LoadObject(*group->fields, value, yaml, path);
    }
    if (auto* list = std::get_if<Node::List>(&node.value)) {
      if (!value.is_array()) {
        return Problem(path, line, fmt::format("must be a list, got {}", Got(value)));
      }
      list->resize(value.size());
      for (size_t i = 0; i < value.size(); ++i) {
        const YAML::Node item =
            yaml.IsDefined() && yaml.IsSequence() ? yaml[i] : YAML::Node(YAML::NodeType::Undefined);
        list->visit_item(i, [&](ConfigFields& fields) {
          LoadObject(fields, value[i], item, JoinPath(path, i));
        });
      }
      return;
    }
    if (const auto problem = Set(node, value)) {
      Problem(path, line, fmt::format("{}, got {}", *problem, Got(value)));
    }
  }

  // What is wrong with `value`, or nothing when it was taken.
  static std::optional<std::string> Set(Node& node, const json& value) {
    if (auto** text = std::get_if<std::string*>(&node.value)) {
      if (!value.is_string()) return "must be text (in quotes, if it looks like something else)";
      **text = value.get<std::string>();
    } else if (auto** truth = std::get_if<bool*>(&node.value)) {
      if (!value.is_boolean()) return "must be true or false";
      **truth = value.get<bool>();
    } else if (auto* integer = std::get_if<Node::Integer>(&node.value)) {
      return SetInteger(*integer, value);
    } else if (auto* real = std::get_if<Node::Real>(&node.value)) {
      if (!value.is_number()) return "must be a number";
      const double number = value.get<double>();
      if (number < real->range.min || number > real->range.max) {
        return Bounds(real->range.min, real->range.max, Show);
      }
      *real->value = number;
    } else if (auto* duration = std::get_if<Node::Duration>(&node.value)) {
      return SetDuration(*duration, value);
    } else if (auto** list = std::get_if<std::vector<std::string>*>(&node.value)) {
      if (!value.is_array()) return "must be a list of texts";
      std::vector<std::string> texts;
      for (const json& item : value) {
        if (!item.is_string()) return "must be a list of texts";
        texts.push_back(item.get<std::string>());
      }
      **list = std::move(texts);
    } else if (auto** secret = std::get_if<SecretFile*>(&node.value)) {
      if (!value.is_string()) return "must be the path of a file";
      **secret = SecretFile(value.get<std::string>());
    } else if (auto* choice = std::get_if<Node::Choice>(&node.value)) {
      for (const std::string& one : choice->choices) {
        if (value.is_string() && value.get_ref<const std::string&>() == one) {
          *choice->value = one;
          return std::nullopt;
        }
      }
      return fmt::format("must be one of {}", fmt::join(choice->choices, ", "));
    }
    return std::nullopt;
  }

  static std::optional<std::string> SetInteger(Node::Integer& integer, const json& value) {
    if (!value.is_number_integer()) return "must be a whole number";
    const double min = std::max(integer.range.min, static_cast<double>(integer.type_min));
    const double max = std::min(integer.range.max, static_cast<double>(integer.type_max));
    const bool fits = !value.is_number_unsigned() ||
                      value.get<uint64_t>() <= static_cast<uint64_t>(integer.type_max);
    const int64_t number = fits ? value.get<int64_t>() : integer.type_max;
    if (!fits || number < integer.type_min || number > integer.type_max ||
        static_cast<double>(number) < min || static_cast<double>(number) > max) {
      return Bounds(min, max, [](double bound) { return fmt::format("{:.0f}", bound); });
    }
    integer.set(number);
    return std::nullopt;
  }

  static std::optional<std::string> SetDuration(Node::Duration& duration, const json& value) {
    absl::Duration parsed;
    const bool zero = value.is_number_integer() && value.get<int64_t>() == 0;
    if (!zero && (!value.is_string() || !absl::ParseDuration(value.get<std::string>(), &parsed))) {
      return "must be a duration such as 250ms, 30s or 1h30m";
    }
    if (parsed < duration.range.min || parsed > duration.range.max) {
      return duration.range.max == absl::InfiniteDuration()
                 ? fmt::format("must be at least {}", absl::FormatDuration(duration.range.min))
                 : fmt::format("must be between {} and {}",
                               absl::FormatDuration(duration.range.min),
                               absl::FormatDuration(duration.range.max));
    }
    *duration.value = parsed;
    return std::nullopt;
  }

  std::string source_;
  std::vector<std::string> problems_;
};

namespace {

// Kubernetes gives every container variables for every Service of its namespace, and one that is
// called slipway-registry gets SLIPWAY_REGISTRY_SERVICE_HOST and the like: nobody's typing error.
bool IsKubernetesServiceLink(std::string_view name, std::string_view value) {
  if (name.ends_with("_SERVICE_HOST") || name.find("_SERVICE_PORT") != std::string_view::npos) {
    return true;
  }
  if (name.find("_PORT") == std::string_view::npos) return false;
  for (const std::string_view protocol : {"TCP", "UDP", "SCTP"}) {
    for (const std::string_view end : {"PROTO", "PORT", "ADDR"}) {
      if (name.ends_with(fmt::format("_{}_{}", protocol, end))) return true;
    }
  }
  return value.starts_with("tcp://") || value.starts_with("udp://") || value.starts_with("sctp://");
}

}  // namespace

absl::Status ConfigFields::Load(std::string_view service, const CommandLine& line,
                                const Environment& environment) {
  Loader loader;
  if (!line.config_file.empty()) {
    ASSIGN_OR_RETURN(const std::string text, ReadFile(line.config_file, kMaxConfigBytes));
    const absl::StatusOr<json> value = ParseYaml(text, "");
    if (!value.ok()) return Annotate(value.status(), line.config_file);
    loader.Begin(line.config_file);
    if (!value->is_null()) loader.LoadObject(*this, *value, YAML::Load(text), "");
  }

  const std::vector<Leaf> leaves = Leaves();
  std::vector<std::string_view> keys;
  std::map<std::string_view, const Leaf*> by_key;
  std::vector<std::string> variables;
  std::map<std::string, const Leaf*> by_variable;
  const std::string prefix = EnvironmentPrefix(service);
  for (const Leaf& leaf : leaves) {
    keys.push_back(leaf.key);
    by_key[leaf.key] = &leaf;
    variables.push_back(prefix + leaf.environment);
    by_variable[variables.back()] = &leaf;
  }

  for (const std::string& entry : environment) {
    if (!entry.starts_with(prefix)) continue;
    const size_t equals = entry.find('=');
    if (equals == std::string::npos) continue;
    const std::string name = entry.substr(0, equals);
    const std::string_view value = std::string_view(entry).substr(equals + 1);
    if (const auto found = by_variable.find(name); found != by_variable.end()) {
      loader.Begin(name);
      loader.LoadText(*found->second->node, value, found->second->key);
    } else if (!IsKubernetesServiceLink(name, value)) {
      loader.Begin("environment");
      loader.Unknown(name, 0, NearestName(name, {variables.begin(), variables.end()}));
    }
  }

  loader.Begin("--set");
  for (const auto& [key, value] : line.settings) {
    if (const auto found = by_key.find(key); found != by_key.end()) {
      loader.LoadText(*found->second->node, value, key);
    } else {
      loader.Unknown(key, 0, NearestName(key, keys));
    }
  }
  return loader.Done();
}

absl::Status ConfigFields::LoadSecrets() {
  for (const auto& node : nodes_) {
    if (auto** secret = std::get_if<SecretFile*>(&node->value)) {
      RETURN_IF_ERROR(Annotate((*secret)->Load(), node->name));
    } else if (auto* group = std::get_if<Node::Group>(&node->value)) {
      RETURN_IF_ERROR(Annotate(group->fields->LoadSecrets(), node->name));
    } else if (auto* list = std::get_if<Node::List>(&node->value)) {
      absl::Status status;
      for (size_t i = 0; i < list->size() && status.ok(); ++i) {
        list->visit_item(i, [&](ConfigFields& fields) {
          status = Annotate(fields.LoadSecrets(), JoinPath(node->name, i));
        });
      }
      RETURN_IF_ERROR(status);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ConfigFields::CommandLine> ConfigFields::ParseCommandLine(int argc,
                                                                         const char* const* argv) {
  CommandLine line;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string_view flag = argument.substr(0, equals);
    std::optional<std::string> value;
    if (equals != std::string_view::npos) value = argument.substr(equals + 1);
    const bool needs_value = flag == "--config" || flag == "--set";
    if (needs_value && !value) {
      if (++i == argc) {
        return absl::InvalidArgumentError(fmt::format("{} needs a value; see --help", flag));
      }
      value = argv[i];
    }
    if (flag == "--config") {
      line.config_file = *value;
    } else if (flag == "--set") {
      const size_t split = value->find('=');
      if (split == std::string::npos) {
        return absl::InvalidArgumentError(fmt::format("--set {}: must be key=value", *value));
      }
      line.settings.emplace_back(value->substr(0, split), value->substr(split + 1));
    } else if (flag == "--print-config" && (!value || *value == "yaml" || *value == "json")) {
      line.action =
          value == "json" ? CommandLine::Action::kPrintJson : CommandLine::Action::kPrintYaml;
    } else if ((flag == "--help" || flag == "-h") && !value) {
      line.action = CommandLine::Action::kHelp;
    } else if (flag == "--version" && !value) {
      line.action = CommandLine::Action::kVersion;
    } else {
      return absl::InvalidArgumentError(fmt::format("{} is not an argument; see --help", argument));
    }
  }
  return line;
}

ConfigFields::Environment ConfigFields::ProcessEnvironment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  return environment;
}

}  // namespace slipway
