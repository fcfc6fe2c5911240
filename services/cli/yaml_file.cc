#include "services/cli/yaml_file.h"

#include <fstream>
#include <sstream>

#include "common/fields/json.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::cli {

absl::StatusOr<nlohmann::json> ReadYamlFile(const std::string& path, const std::string& what) {
  std::ifstream in(path);
  if (!in) return InvalidField("file", fmt::format("{} cannot be read", path));
  std::stringstream text;
  text << in.rdbuf();
  auto object = ParseYaml(text.str(), what);
  if (!object.ok()) return Annotate(object.status(), path);
  if (!object->is_object()) return InvalidField(what, path + " must hold one object");
  return *object;
}

}  // namespace slipway::cli
