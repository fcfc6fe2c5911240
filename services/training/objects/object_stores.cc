#include "services/training/objects/object_stores.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_replace.h"
#include "fmt/format.h"
#include "services/training/spec/data_spec.h"

namespace slipway::training {
namespace {

// As many as a dataset may have.
constexpr size_t kMaxObjects = 10'000;

std::string_view WithoutSlash(std::string_view prefix) {
  if (prefix.ends_with('/')) prefix.remove_suffix(1);
  return prefix;
}

// Whether `folder` holds `path`, or is it.
bool Holds(std::string_view folder, std::string_view path) {
  return folder.empty() || path == folder ||
         (path.starts_with(folder) && path[folder.size()] == '/');
}

}  // namespace

absl::StatusOr<ObjectStore*> ObjectStores::Find(const std::string& tenant,
                                                const v1::ObjectSource& source) const {
  bool reads_some = false;
  for (const Store& store : stores_) {
    if (store.name != source.store()) continue;
    for (const ObjectGrant& grant : store.grants) {
      if (grant.tenant != "*" && grant.tenant != tenant) continue;
      reads_some = true;
      const std::string prefix = absl::StrReplaceAll(grant.prefix, {{"{tenant}", tenant}});
      if (Holds(WithoutSlash(prefix), WithoutSlash(source.prefix()))) return store.objects.get();
    }
  }
  if (!reads_some) {
    return InvalidField("spec.data.source.store",
                        fmt::format("\"{}\" is no store that this tenant may read; the operator "
                                    "configures them",
                                    source.store()));
  }
  return InvalidField("spec.data.source.prefix",
                      fmt::format("\"{}\" is not below what this tenant may read of {}",
                                  source.prefix(), source.store()));
}

std::string KeyOf(const v1::ObjectSource& source, const std::string& path) {
  const std::string_view prefix = WithoutSlash(source.prefix());
  return prefix.empty() ? path : fmt::format("{}/{}", prefix, path);
}

absl::StatusOr<registry::v1::Dataset> ListSource(ObjectStore& store, const v1::JobSpec& spec) {
  const v1::ObjectSource& source = spec.data().source();
  const bool folders = spec.data().format() == "images";
  const size_t prefix_size = KeyOf(source, "").size();
  registry::v1::Dataset dataset;
  std::set<std::string> paths;
  const auto add = [&](std::string_view field, const std::string& path) -> absl::Status {
    const std::string key = KeyOf(source, path);
    const auto objects = store.List(key, kMaxObjects);
    if (absl::IsResourceExhausted(objects.status())) {
      return InvalidField(field, fmt::format("has more than {} objects below it", kMaxObjects));
    }
    RETURN_IF_ERROR(objects.status());
    const bool found =
        folders ? !objects->empty() : objects->size() == 1 && objects->front().key == key;
    if (!found) {
      return InvalidField(field, fmt::format("{} has no object \"{}\"", source.store(), key));
    }
    for (const StoredObject& object : *objects) {
      std::string name = object.key.substr(prefix_size);
      if (!paths.insert(name).second) continue;
      registry::v1::File& file = *dataset.add_files();
      file.set_path(std::move(name));
      file.set_size_bytes(object.size_bytes);
      dataset.set_size_bytes(dataset.size_bytes() + object.size_bytes);
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ForEachFile(spec.data(), add));
  return dataset;
}

}  // namespace slipway::training
