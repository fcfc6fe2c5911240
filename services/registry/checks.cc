#include "services/registry/checks.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_set>
#include <vector>

#include "common/crypto/hash.h"
#include "common/names/file_path.h"
#include "common/names/names.h"
#include "common/pipeline/pipeline_graph.h"
#include "common/tensor/data_type.h"
#include "fmt/format.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"

namespace slipway::registry {
namespace {

std::string Path(std::string_view field, std::string_view name) {
  return fmt::format("{}.{}", field, name);
}

std::string Item(std::string_view field, std::string_view name, int i) {
  return fmt::format("{}.{}[{}]", field, name, i);
}

absl::Status CheckTensors(std::string_view field,
                          const google::protobuf::RepeatedPtrField<v1::TensorSpec>& tensors,
                          std::string_view which) {
  if (tensors.size() > kMaxTensors) {
    return InvalidField(Path(field, which), fmt::format("must be at most {} tensors", kMaxTensors));
  }
  std::unordered_set<std::string> names;
  for (int i = 0; i < tensors.size(); ++i) {
    const v1::TensorSpec& tensor = tensors[i];
    const std::string here = Item(field, which, i);
    if (tensor.name().empty()) return InvalidField(Path(here, "name"), "must not be empty");
    RETURN_IF_ERROR(CheckText(Path(here, "name"), tensor.name(), kMaxLabelBytes));
    if (!names.insert(tensor.name()).second) {
      return InvalidField(Path(here, "name"), fmt::format("\"{}\" is there twice", tensor.name()));
    }
    if (!ParseDataType(tensor.datatype()).has_value()) {
      return InvalidField(Path(here, "datatype"),
                          "must be a name of the Open Inference Protocol, such as FP32");
    }
    if (tensor.shape_size() > kMaxDimensions) {
      return InvalidField(Path(here, "shape"),
                          fmt::format("must have at most {} dimensions", kMaxDimensions));
    }
    for (const int64_t dimension : tensor.shape()) {
      if (dimension < -1) {
        return InvalidField(
            Path(here, "shape"),
            fmt::format("must be >= 0, or -1 for a free dimension, got {}", dimension));
      }
    }
  }
  return absl::OkStatus();
}

// Whether the tensors are the model's, and fit each other, the worker sees when it has the files.
absl::Status CheckStates(std::string_view field, const v1::Signature& signature) {
  if (signature.states_size() > kMaxTensors) {
    return InvalidField(Path(field, "states"),
                        fmt::format("must be at most {} states", kMaxTensors));
  }
  std::set<std::string_view> inputs;
  std::set<std::string_view> outputs;
  for (int i = 0; i < signature.states_size(); ++i) {
    const v1::StateSpec& state = signature.states(i);
    const std::string here = Item(field, "states", i);
    const auto check = [&](std::string_view which, const std::string& name,
                           std::set<std::string_view>& names) -> absl::Status {
      if (name.empty()) return InvalidField(Path(here, which), "must not be empty");
      RETURN_IF_ERROR(CheckText(Path(here, which), name, kMaxLabelBytes));
      if (names.insert(name).second) return absl::OkStatus();
      return InvalidField(Path(here, which), fmt::format("\"{}\" is there twice", name));
    };
    RETURN_IF_ERROR(check("input", state.input(), inputs));
    RETURN_IF_ERROR(check("output", state.output(), outputs));
  }
  return absl::OkStatus();
}

template <class Name>
absl::Status CheckOwnName(const std::string& field, std::string_view tenant,
                          const std::string& text) {
  if (text.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const Name name, Name::Parse(field, text));
  std::string_view owner;
  if constexpr (requires { name.model.tenant; }) {
    owner = name.model.tenant;
  } else {
    owner = name.tenant;
  }
  if (owner != tenant) {
    return InvalidField(field, fmt::format("must be a name below tenants/{}", tenant));
  }
  return absl::OkStatus();
}

absl::Status CheckLineage(const std::string& field, std::string_view tenant,
                          const v1::Lineage& lineage) {
  RETURN_IF_ERROR(CheckOwnName<JobName>(Path(field, "job"), tenant, lineage.job()));
  RETURN_IF_ERROR(CheckOwnName<DatasetName>(Path(field, "dataset"), tenant, lineage.dataset()));
  RETURN_IF_ERROR(
      CheckOwnName<VersionName>(Path(field, "base_version"), tenant, lineage.base_version()));
  if (!lineage.dataset_digest().empty()) {
    RETURN_IF_ERROR(
        Digest::Parse(Path(field, "dataset_digest"), lineage.dataset_digest()).status());
  }
  return CheckText(Path(field, "code_version"), lineage.code_version(), kMaxLabelBytes);
}

absl::Status CheckMetrics(const std::string& field,
                          const google::protobuf::Map<std::string, double>& metrics) {
  if (metrics.size() > static_cast<size_t>(kMaxMetrics)) {
    return InvalidField(field, fmt::format("must be at most {} metrics", kMaxMetrics));
  }
  for (const auto& [name, value] : metrics) {
    if (name.empty()) return InvalidField(field, "a metric's name must not be empty");
    RETURN_IF_ERROR(CheckText(field, name, kMaxLabelBytes));
    if (!std::isfinite(value)) {
      return InvalidField(fmt::format("{}.{}", field, name), "must be a finite number");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckText(std::string_view field, std::string_view text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return InvalidField(field,
                        fmt::format("must be at most {} bytes, got {}", max_bytes, text.size()));
  }
  if (text.find('\0') != std::string_view::npos) {
    return InvalidField(field, "must not hold NUL characters");
  }
  return absl::OkStatus();
}

absl::Status CheckOpen(RegistryTransaction& tx, const std::string& tenant) {
  ASSIGN_OR_RETURN(const bool closed, tx.IsClosed(tenant));
  return closed ? NotFound(TenantName{tenant}.ToString()) : absl::OkStatus();
}

absl::Status CheckRequestId(std::string_view request_id) {
  const bool graphic = std::all_of(request_id.begin(), request_id.end(),
                                   [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (!graphic || request_id.size() > kMaxRequestIdBytes) {
    return InvalidField("request_id", fmt::format("must be at most {} printable ASCII characters "
                                                  "without spaces",
                                                  kMaxRequestIdBytes));
  }
  return absl::OkStatus();
}

absl::Status CheckFiles(std::string_view field, const Files& files) {
  if (files.empty()) return InvalidField(Path(field, "files"), "must hold at least one file");
  if (files.size() > kMaxFiles) {
    return InvalidField(Path(field, "files"),
                        fmt::format("must be at most {} files, got {}", kMaxFiles, files.size()));
  }
  std::set<std::string_view> paths;
  for (int i = 0; i < files.size(); ++i) {
    const std::string here = Item(field, "files", i);
    RETURN_IF_ERROR(CheckFilePath(Path(here, "path"), files[i].path()));
    if (!paths.insert(files[i].path()).second) {
      return InvalidField(Path(here, "path"),
                          fmt::format("\"{}\" is there twice", files[i].path()));
    }
    RETURN_IF_ERROR(Digest::Parse(Path(here, "digest"), files[i].digest()).status());
    if (files[i].size_bytes() < 0) {
      return InvalidField(Path(here, "size_bytes"), "must be >= 0");
    }
  }
  for (int i = 0; i < files.size(); ++i) {
    const std::string_view path = files[i].path();
    for (size_t slash = path.find('/'); slash != std::string_view::npos;
         slash = path.find('/', slash + 1)) {
      if (paths.contains(path.substr(0, slash))) {
        return InvalidField(
            Path(Item(field, "files", i), "path"),
            fmt::format("\"{}\" is a file and cannot be a folder too", path.substr(0, slash)));
      }
    }
  }
  return absl::OkStatus();
}

absl::Status CheckPurpose(std::string_view field, const v1::Dataset& dataset) {
  if (dataset.purpose().empty()) return absl::OkStatus();
  std::string slug = dataset.purpose();
  std::replace(slug.begin(), slug.end(), '_', '-');
  RETURN_IF_ERROR(CheckSlug(Path(field, "purpose"), slug));
  if (dataset.files_size() == 1 && dataset.files(0).path().find('/') == std::string::npos) {
    return absl::OkStatus();
  }
  return InvalidField(Path(field, "purpose"), "is for a dataset of one file, in no folder");
}

std::string DigestOf(const Files& files) {
  std::vector<std::string> lines;
  lines.reserve(files.size());
  for (const v1::File& file : files) {
    lines.push_back(fmt::format("{} {}\n", file.digest(), file.path()));
  }
  std::sort(lines.begin(), lines.end());
  Sha256 hash;
  for (const std::string& line : lines) hash.Update(line);
  return Digest::FromHex(hash.FinishHex()).ToString();
}

namespace {

absl::Status CheckArtifact(std::string_view field, const v1::ModelVersion& version) {
  const std::string artifact = Path(field, "artifact");
  if (version.has_pipeline()) {
    const v1::Artifact& given = version.artifact();
    const bool right_format = given.format().empty() || given.format() == pipeline::kFormat;
    if (right_format && given.files().empty() && given.digest().empty()) return absl::OkStatus();
    return InvalidField(artifact, "must be left out: a pipeline has no files of its own");
  }
  if (version.artifact().format() == pipeline::kFormat) {
    return InvalidField(Path(field, "pipeline"), "must be given where that is the format");
  }
  if (!IsSlug(version.artifact().format())) {
    return InvalidField(Path(artifact, "format"),
                        "must be the name of a format, such as \"slipway\" or \"onnx\"");
  }
  RETURN_IF_ERROR(CheckFiles(artifact, version.artifact().files()));
  if (const std::string& given = version.artifact().digest(); !given.empty()) {
    const std::string digest = DigestOf(version.artifact().files());
    if (given != digest) {
      return InvalidField(Path(artifact, "digest"),
                          fmt::format("is {}, but the files have {}", given.substr(0, 80), digest));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckVersion(std::string_view field, std::string_view tenant,
                          const v1::ModelVersion& version) {
  RETURN_IF_ERROR(CheckArtifact(field, version));
  const std::string signature = Path(field, "signature");
  RETURN_IF_ERROR(CheckTensors(signature, version.signature().inputs(), "inputs"));
  RETURN_IF_ERROR(CheckTensors(signature, version.signature().outputs(), "outputs"));
  RETURN_IF_ERROR(CheckStates(signature, version.signature()));
  RETURN_IF_ERROR(CheckLineage(Path(field, "lineage"), tenant, version.lineage()));
  RETURN_IF_ERROR(CheckMetrics(Path(field, "metrics"), version.metrics()));
  RETURN_IF_ERROR(
      CheckText(Path(field, "description"), version.description(), kMaxDescriptionBytes));
  if (version.labels_size() > kMaxLabels) {
    return InvalidField(Path(field, "labels"),
                        fmt::format("must be at most {} labels", kMaxLabels));
  }
  for (int i = 0; i < version.labels_size(); ++i) {
    RETURN_IF_ERROR(CheckText(Item(field, "labels", i), version.labels(i), kMaxLabelBytes));
  }
  return absl::OkStatus();
}

std::string Serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  message.SerializePartialToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

}  // namespace slipway::registry
