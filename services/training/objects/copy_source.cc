#include "services/training/objects/copy_source.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "common/crypto/hash.h"
#include "fmt/format.h"

namespace slipway::training {
namespace {

// As the registry calls such files (registry.v1.Artifact.digest): hex.
std::string DigestOf(const registry::v1::Dataset& dataset) {
  std::vector<std::string> lines;
  for (const registry::v1::File& file : dataset.files()) {
    lines.push_back(fmt::format("{} {}\n", file.digest(), file.path()));
  }
  std::sort(lines.begin(), lines.end());
  Sha256 hash;
  for (const std::string& line : lines) hash.Update(line);
  return hash.FinishHex();
}

absl::Status TooMuch(int64_t most) {
  return absl::FailedPreconditionError(
      fmt::format("spec.data.source: its objects have more than the {} bytes that a job may copy; "
                  "register them as a dataset instead",
                  most));
}

}  // namespace

absl::StatusOr<registry::v1::Dataset> CopySource(const v1::JobSpec& spec, const Principal& owner,
                                                 const ObjectStores& stores,
                                                 ModelRegistry& registry, const CopyLimits& limits,
                                                 const Clock& clock,
                                                 absl::FunctionRef<bool()> cancelled) {
  const v1::ObjectSource& source = spec.data().source();
  // What a tenant may read may have changed since the job was submitted.
  ASSIGN_OR_RETURN(ObjectStore* const store, stores.Find(owner.tenant, source));
  ASSIGN_OR_RETURN(registry::v1::Dataset dataset, ListSource(*store, spec));
  if (dataset.size_bytes() > limits.max_bytes) return TooMuch(limits.max_bytes);
  int64_t copied = 0;
  for (registry::v1::File& file : *dataset.mutable_files()) {
    const auto content = [&](ObjectStore::Sink sink) {
      return store->Read(KeyOf(source, file.path()), 0, [&](std::string_view piece) {
        if (cancelled()) return absl::CancelledError("nobody waits for the copy any more");
        copied += std::ssize(piece);
        return copied > limits.max_bytes ? TooMuch(limits.max_bytes) : sink(piece);
      });
    };
    const auto blob = registry.StoreBlob(owner, content, clock.Now() + limits.object_timeout);
    if (!blob.ok()) return Annotate(blob.status(), file.path());
    file.set_digest(blob->digest());
    file.set_size_bytes(blob->size_bytes());
  }
  const std::string digest = DigestOf(dataset);
  dataset.set_digest("sha256:" + digest);
  dataset.set_description(fmt::format("Copied from {}:{}", source.store(), source.prefix()));
  dataset.clear_size_bytes();
  const DatasetName name{owner.tenant, spec.dataset().empty()
                                           ? fmt::format("objects-{}", digest.substr(0, 24))
                                           : spec.dataset()};
  const auto deadline = [&] { return clock.Now() + limits.call_timeout; };
  auto made = registry.CreateDataset(owner, name, dataset, deadline());
  if (!absl::IsAlreadyExists(made.status())) return made;
  ASSIGN_OR_RETURN(registry::v1::Dataset there, registry.GetDataset(owner, name, deadline()));
  if (there.digest() == dataset.digest()) return there;
  return InvalidField("spec.dataset", fmt::format("{} is there already, and holds something else",
                                                  name.ToString()));
}

}  // namespace slipway::training
