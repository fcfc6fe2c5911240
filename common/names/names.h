#ifndef SLIPWAY_COMMON_NAMES_NAMES_H_
#define SLIPWAY_COMMON_NAMES_NAMES_H_

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/status/status.h"

// Resource names (https://google.aip.dev/122), parsed once at the edge: code behind it has
// nothing left to check. Each Parse() refuses with InvalidField(field, ...).
namespace slipway {

/// True for an id that a person chooses: ^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$
bool IsSlug(std::string_view id);

/// OK, or InvalidField(field) that says what a slug is.
absl::Status CheckSlug(std::string_view field, std::string_view id);

/// "sha256:" and 64 lower-case hex digits: what bytes are called.
class Digest {
 public:
  static absl::StatusOr<Digest> Parse(std::string_view field, std::string_view text);
  /// From the 64 hex digits alone; they are not checked again.
  static Digest FromHex(std::string hex) { return Digest(std::move(hex)); }

  const std::string& hex() const { return hex_; }
  std::string ToString() const { return "sha256:" + hex_; }
  auto operator<=>(const Digest&) const = default;

 private:
  explicit Digest(std::string hex) : hex_(std::move(hex)) {}
  std::string hex_;
};

/// tenants/{tenant}
struct TenantName {
  std::string tenant;
  static absl::StatusOr<TenantName> Parse(std::string_view field, std::string_view name);
  std::string ToString() const;
  auto operator<=>(const TenantName&) const = default;
};

/// The tenant that any resource's name begins with: "acme" of "tenants/acme/models/m"; empty where
/// it begins with none. Views into `name`, which is not checked.
std::string_view TenantIn(std::string_view name);

/// tenants/{tenant}/{collection}/{id}: the names of models, datasets, jobs, deployments, keys,
/// projects, batches. `Collection` is a type with a `static constexpr std::string_view
/// kCollection`.
template <class Collection>
struct ChildName {
  std::string tenant;
  std::string id;
  static absl::StatusOr<ChildName> Parse(std::string_view field, std::string_view name);
  std::string ToString() const;
  auto operator<=>(const ChildName&) const = default;
};

struct ModelCollection {
  static constexpr std::string_view kCollection = "models";
};
struct DatasetCollection {
  static constexpr std::string_view kCollection = "datasets";
};
struct JobCollection {
  static constexpr std::string_view kCollection = "jobs";
};
struct DeploymentCollection {
  static constexpr std::string_view kCollection = "deployments";
};
struct KeyCollection {
  static constexpr std::string_view kCollection = "keys";
};
struct ProjectCollection {
  static constexpr std::string_view kCollection = "projects";
};
struct BatchCollection {
  static constexpr std::string_view kCollection = "batches";
};
using ModelName = ChildName<ModelCollection>;
using DatasetName = ChildName<DatasetCollection>;
using JobName = ChildName<JobCollection>;
using DeploymentName = ChildName<DeploymentCollection>;
using KeyName = ChildName<KeyCollection>;
using ProjectName = ChildName<ProjectCollection>;
using BatchName = ChildName<BatchCollection>;

/// tenants/{tenant}/models/{model}/versions/{number}, number >= 1.
struct VersionName {
  ModelName model;
  int64_t number = 0;
  static absl::StatusOr<VersionName> Parse(std::string_view field, std::string_view name);
  std::string ToString() const;
  auto operator<=>(const VersionName&) const = default;
};

/// tenants/{tenant}/models/{model}/aliases/{alias}
struct AliasName {
  ModelName model;
  std::string alias;
  static absl::StatusOr<AliasName> Parse(std::string_view field, std::string_view name);
  std::string ToString() const;
  auto operator<=>(const AliasName&) const = default;
};

/// tenants/{tenant}/blobs/sha256:{hex}
struct BlobName {
  std::string tenant;
  Digest digest;
  static absl::StatusOr<BlobName> Parse(std::string_view field, std::string_view name);
  std::string ToString() const;
  auto operator<=>(const BlobName&) const = default;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_NAMES_NAMES_H_
