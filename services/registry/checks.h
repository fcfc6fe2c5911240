#ifndef SLIPWAY_SERVICES_REGISTRY_CHECKS_H_
#define SLIPWAY_SERVICES_REGISTRY_CHECKS_H_

#include <string>
#include <string_view>

#include "common/status/status.h"
#include "services/registry/registry_store.h"
#include "slipway/registry/v1/registry.pb.h"

// What callers may write into the registry. Each check refuses with InvalidField, the path
// beginning with `field`: "model_version.artifact.files[2].path".
namespace slipway::registry {

inline constexpr size_t kMaxDescriptionBytes = 4096;
inline constexpr int kMaxFiles = 10'000;
inline constexpr int kMaxTensors = 256;
inline constexpr int kMaxDimensions = 16;
inline constexpr int kMaxMetrics = 1000;
inline constexpr int kMaxLabels = 65'536;
inline constexpr size_t kMaxLabelBytes = 256;
inline constexpr size_t kMaxRequestIdBytes = 256;

using Files = google::protobuf::RepeatedPtrField<v1::File>;

/// At most `max_bytes` of text without NUL.
absl::Status CheckText(std::string_view field, std::string_view text, size_t max_bytes);

/// Empty, or printable ASCII without spaces.
absl::Status CheckRequestId(std::string_view request_id);

/// NotFound for a tenant that is closed.
absl::Status CheckOpen(RegistryTransaction& tx, const std::string& tenant);

/// At least one file; paths that are relative, clean, each once and none a folder of another;
/// digests that are digests. Whether the blobs are there is not checked.
absl::Status CheckFiles(std::string_view field, const Files& files);

/// No purpose, or a slug (with '_' for '-', too) and one file that is in no folder. The files have
/// passed CheckFiles.
absl::Status CheckPurpose(std::string_view field, const v1::Dataset& dataset);

/// "sha256:..." over the sorted lines "<file digest> <path>\n" of files that passed CheckFiles.
std::string DigestOf(const Files& files);

/// Everything in a version that its caller wrote; names in its lineage must be of `tenant`.
absl::Status CheckVersion(std::string_view field, std::string_view tenant,
                          const v1::ModelVersion& version);

/// `message`, byte for byte the same for equal messages (maps sorted).
std::string Serialize(const google::protobuf::MessageLite& message);

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_CHECKS_H_
