#ifndef SLIPWAY_COMMON_CONFIG_CONFIG_H_
#define SLIPWAY_COMMON_CONFIG_CONFIG_H_

#include <concepts>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "common/crypto/secret.h"
#include "common/status/status.h"

// One config struct a service. It says its fields, their defaults and what they mean once:
//
//   struct RegistryConfig {
//     std::string listen = "unix:/run/slipway/registry.sock";
//     absl::Duration drain_timeout = absl::Seconds(20);
//     LogConfig log;
//     template <class V>
//     void Describe(V& v) {
//       v.Field("listen", listen, "Where the gRPC service listens: unix:/path or host:port");
//       v.Field("drain_timeout", drain_timeout, "How long calls in flight may go on after
//       SIGTERM"); v.Field("log", log, "Log lines");
//     }
//     absl::Status Check() const;   // optional: what one field alone cannot say
//   };
//
// Values come, later ones winning, from: the defaults; the YAML file of --config; environment
// variables SLIPWAY_REGISTRY_DRAIN_TIMEOUT, nested fields joined by '_'; --set drain_timeout=5s,
// nested fields joined by '.'. A key that no field takes is refused, as is a value of the wrong
// type or out of its range, each by its key and, in a file, its line.
namespace slipway {

/// A field that is a secret: the config names a file, and loading the config reads it (without
/// the newlines at its end). Refused where the file is empty or cannot be read; a warning is
/// logged where other users may read it. Prints nowhere, see Secret.
class SecretFile {
 public:
  SecretFile() = default;
  explicit SecretFile(std::string path) : path_(std::move(path)) {}

  /// Empty: none was configured.
  const std::string& path() const { return path_; }
  bool configured() const { return !path_.empty(); }
  const Secret& secret() const { return secret_; }

  /// Reads the file; OK where none is configured. LoadConfig does it.
  absl::Status Load();

  friend std::ostream& operator<<(std::ostream&, const SecretFile&) = delete;

 private:
  friend class ConfigFields;
  std::string path_;
  Secret secret_;
};

/// What a number may be, both ends included.
struct ConfigRange {
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
};

/// How long something may be, both ends included. A zero where 0 means "no limit" is the field's
/// own business.
struct ConfigDurationRange {
  absl::Duration min = absl::ZeroDuration();
  absl::Duration max = absl::InfiniteDuration();
};

/// The visitor that a config struct's Describe(V&) gets. Holds pointers into the struct. One
/// thread. Field names are lower_snake_case; two fields whose environment variables would be
/// called the same abort, and so does a name twice.
class ConfigFields {
 public:
  ConfigFields() = default;
  ConfigFields(const ConfigFields&) = delete;
  ConfigFields& operator=(const ConfigFields&) = delete;

  void Field(std::string_view name, std::string& value, std::string_view doc);
  void Field(std::string_view name, bool& value, std::string_view doc);
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  void Field(std::string_view name, T& value, std::string_view doc, ConfigRange range = {}) {
    AddInteger(
        name, [&value] { return static_cast<int64_t>(value); },
        [&value](int64_t to) { value = static_cast<T>(to); }, doc, range,
        static_cast<int64_t>(std::numeric_limits<T>::min()),
        sizeof(T) == 8 ? std::numeric_limits<int64_t>::max()
                       : static_cast<int64_t>(std::numeric_limits<T>::max()));
  }
  void Field(std::string_view name, double& value, std::string_view doc, ConfigRange range = {});
  /// As "10s", "1m30s", "250ms", "0", "inf".
  void Field(std::string_view name, absl::Duration& value, std::string_view doc,
             ConfigDurationRange range = {});
  /// In the environment and in --set: separated by commas.
  void Field(std::string_view name, std::vector<std::string>& value, std::string_view doc);
  void Field(std::string_view name, SecretFile& value, std::string_view doc);
  /// One of a few texts.
  void Choice(std::string_view name, std::string& value,
              std::initializer_list<std::string_view> choices, std::string_view doc);

  /// A struct with Describe of its own.
  template <class T>
    requires requires(T& value, ConfigFields& fields) { value.Describe(fields); }
  void Field(std::string_view name, T& value, std::string_view doc) {
    value.Describe(AddGroup(name, doc));
  }
  /// A list of structs. In the environment and in --set: a YAML or JSON list.
  template <class T>
    requires requires(T& value, ConfigFields& fields) { value.Describe(fields); }
  void Field(std::string_view name, std::vector<T>& value, std::string_view doc) {
    AddList(
        name, [&value] { return value.size(); }, [&value](size_t size) { value.assign(size, T()); },
        [&value](size_t i, const std::function<void(ConfigFields&)>& visit) {
          T fresh;
          ConfigFields fields;
          (i < value.size() ? value[i] : fresh).Describe(fields);
          visit(fields);
        },
        doc);
  }

  // ---- For LoadConfig and ServiceMain. ----

  /// What the command line asks for.
  struct CommandLine {
    enum class Action { kRun, kPrintYaml, kPrintJson, kHelp, kVersion };
    Action action = Action::kRun;
    std::string config_file;
    std::vector<std::pair<std::string, std::string>> settings;  // --set
  };
  static absl::StatusOr<CommandLine> ParseCommandLine(int argc, const char* const* argv);

  /// Environment variables as "NAME=value" texts.
  using Environment = std::vector<std::string>;
  static Environment ProcessEnvironment();

  /// Fills the struct. All faults are in one status, a line each.
  absl::Status Load(std::string_view service, const CommandLine& line,
                    const Environment& environment);
  /// Reads the secret files.
  absl::Status LoadSecrets();

  /// The values as they are now, as YAML, each after a comment with its meaning. Loading it back
  /// changes nothing.
  std::string ToYaml() const;
  /// A flat JSON object, key -> {type, default, description, environment, ...}: what a test
  /// compares a Helm chart's values with. "default" is the value as it is now.
  std::string ToJson(std::string_view service) const;
  std::string Help(std::string_view service) const;

 private:
  struct Node;
  class Loader;
  class Printer;

  ConfigFields& AddGroup(std::string_view name, std::string_view doc);
  // Visits item i, or a fresh one where the list is shorter.
  using ItemVisitor = std::function<void(size_t i, const std::function<void(ConfigFields&)>&)>;
  void AddList(std::string_view name, std::function<size_t()> size,
               std::function<void(size_t)> resize, ItemVisitor visit_item, std::string_view doc);
  void AddInteger(std::string_view name, std::function<int64_t()> get,
                  std::function<void(int64_t)> set, std::string_view doc, ConfigRange range,
                  int64_t type_min, int64_t type_max);
  Node& Add(std::string_view name, std::string_view doc);

  // A node that holds a value, with its key ("log.level") and, below no list, the end of its
  // environment variable's name ("LOG_LEVEL").
  struct Leaf {
    std::string key;
    std::string environment;
    Node* node;
  };
  std::vector<Leaf> Leaves() const;
  void CollectLeaves(const std::string& prefix, std::vector<Leaf>& leaves) const;

  std::vector<std::shared_ptr<Node>> nodes_;
};

/// Loads a service's config from `argv` and the environment; see above. Secrets are read, and
/// T::Check is called where there is one.
template <class T>
absl::StatusOr<T> LoadConfig(std::string_view service, int argc, const char* const* argv) {
  T config;
  ConfigFields fields;
  config.Describe(fields);
  ASSIGN_OR_RETURN(const auto line, ConfigFields::ParseCommandLine(argc, argv));
  RETURN_IF_ERROR(fields.Load(service, line, ConfigFields::ProcessEnvironment()));
  RETURN_IF_ERROR(fields.LoadSecrets());
  if constexpr (requires { config.Check(); }) RETURN_IF_ERROR(config.Check());
  return config;
}

}  // namespace slipway

#endif  // SLIPWAY_COMMON_CONFIG_CONFIG_H_
