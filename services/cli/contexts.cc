#include "services/cli/contexts.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/fields/field_reader.h"
#include "common/fields/field_writer.h"
#include "common/fields/json.h"
#include "common/files/files.h"
#include "fmt/format.h"

namespace slipway::cli {
namespace {

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct NamedContext {
  std::string name;
  Context context;
  template <class V>
  void Describe(V& v) {
    v.Text("name", name, {.min = 1, .required = true});
    v.Text("url", context.url, {.min = 1, .required = true});
    v.Text("api_key", context.api_key);
    v.Text("ca_file", context.ca_file);
  }
};

struct FileFields {
  std::string current;
  std::vector<NamedContext> contexts;
  template <class V>
  void Describe(V& v) {
    v.Text("current", current);
    v.Objects("contexts", contexts);
  }
};

}  // namespace

std::string ContextFile::DefaultPath() {
  if (const std::string path = Environment("SLIPWAY_CONFIG"); !path.empty()) return path;
  if (const std::string home = Environment("XDG_CONFIG_HOME"); !home.empty()) {
    return home + "/slipway/config.yaml";
  }
  return Environment("HOME") + "/.config/slipway/config.yaml";
}

absl::StatusOr<ContextFile> ContextFile::Load(const std::string& path) {
  std::ifstream in(path);
  if (!in) return ContextFile();
  std::stringstream text;
  text << in.rdbuf();
  auto json = ParseYaml(text.str(), "");
  if (!json.ok()) return Annotate(json.status(), path);
  ContextFile file;
  if (json->is_null()) return file;
  FileFields fields;
  if (absl::Status status = ReadFields(*json, "", fields); !status.ok()) {
    return Annotate(status, path);
  }
  file.current = fields.current;
  for (NamedContext& each : fields.contexts) {
    file.contexts[each.name] = std::move(each.context);
  }
  return file;
}

absl::Status ContextFile::Save(const std::string& path) const {
  FileFields fields{.current = current, .contexts = {}};
  for (const auto& [name, context] : contexts) fields.contexts.push_back({name, context});
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  if (error) return FromErrno(error.value(), "could not make the folder of", path);
  // JSON is YAML.
  return WriteFileAtomically(path, WriteFields(fields).dump(2) + "\n", 0600);
}

absl::StatusOr<Context> ResolveContext(std::string_view name, std::string_view url) {
  const std::string path = ContextFile::DefaultPath();
  ASSIGN_OR_RETURN(const ContextFile file, ContextFile::Load(path));
  Context context;
  const std::string wanted = name.empty() ? file.current : std::string(name);
  if (!wanted.empty()) {
    const auto found = file.contexts.find(wanted);
    if (found == file.contexts.end()) {
      return absl::NotFoundError(fmt::format("{} has no context \"{}\"", path, wanted));
    }
    context = found->second;
  }
  if (const std::string value = Environment("SLIPWAY_URL"); !value.empty() && name.empty()) {
    context.url = value;
  }
  if (const std::string value = Environment("SLIPWAY_API_KEY"); !value.empty() && name.empty()) {
    context.api_key = value;
  }
  if (!url.empty()) context.url = std::string(url);
  if (context.url.empty()) {
    return absl::FailedPreconditionError(
        "no platform is known: set SLIPWAY_URL and SLIPWAY_API_KEY, or run "
        "`slipway context add NAME --address URL --api-key KEY`");
  }
  if (context.url.find("://") == std::string::npos) context.url = "http://" + context.url;
  return context;
}

}  // namespace slipway::cli
