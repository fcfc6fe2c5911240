#ifndef SLIPWAY_COMMON_CONFIG_NODE_H_
#define SLIPWAY_COMMON_CONFIG_NODE_H_

#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/config/config.h"

// For the sources of this room only.
namespace slipway {

/// A field: what it is called, what it means, and where its value is.
struct ConfigFields::Node {
  struct Integer {
    std::function<int64_t()> get;
    std::function<void(int64_t)> set;
    ConfigRange range;
    int64_t type_min;
    int64_t type_max;
  };
  struct Real {
    double* value;
    ConfigRange range;
  };
  struct Duration {
    absl::Duration* value;
    ConfigDurationRange range;
  };
  struct Choice {
    std::string* value;
    std::vector<std::string> choices;
  };
  struct Group {
    std::unique_ptr<ConfigFields> fields;
  };
  struct List {
    std::function<size_t()> size;
    std::function<void(size_t)> resize;
    ItemVisitor visit_item;
  };

  std::string name;
  std::string doc;
  std::variant<std::string*, bool*, Integer, Real, Duration, std::vector<std::string>*, SecretFile*,
               Choice, Group, List>
      value;
};

/// "SLIPWAY_REGISTRY_"
std::string EnvironmentPrefix(std::string_view service);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_CONFIG_NODE_H_
