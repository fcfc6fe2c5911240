#include "services/inference/openvino/openvino_runtime.h"

#include <algorithm>
#include <utility>

#include "common/files/files.h"
#include "common/nn/model_description.h"
#include "common/onnx/export.h"
#include "fmt/format.h"
#include "openvino/runtime/core.hpp"
#include "openvino/runtime/properties.hpp"
#include "services/inference/openvino/openvino_model.h"
#include "services/inference/openvino/openvino_types.h"
#include "services/inference/openvino/staged_files.h"
#include "services/inference/precision_check.h"
#include "services/inference/slipway_artifact.h"

namespace slipway::worker {
namespace {

// What a file of Protobuf can hold.
constexpr uint64_t kMaxOnnxBytes = uint64_t{2} << 30;

// A format whose files a frontend of OpenVINO reads.
struct Format {
  std::string_view name;
  std::string_view in_words;
  /// Must be there; the first one is what errors speak of.
  std::vector<std::string_view> files;
  /// What the frontend is given: a file of these, or nothing for their folder.
  std::string_view entry;
};

const std::vector<Format>& Formats() {
  static const auto* const formats = new std::vector<Format>{
      {"onnx", "an ONNX model", {"model.onnx"}, "model.onnx"},
      {"tensorflow", "a TensorFlow SavedModel", {"saved_model.pb"}, ""},
      {"paddle",
       "a PaddlePaddle model",
       {"inference.pdmodel", "inference.pdiparams"},
       "inference.pdmodel"},
  };
  return *formats;
}

// OpenVINO's words for a file, in ours: a caller knows neither the folder that the files were put
// in nor which frontends there are.
absl::Status Explain(const absl::Status& error, const Format& format, const std::string& folder) {
  std::string text(error.message());
  if (text.find("Unable to read the model") != text.npos) {
    text = fmt::format("is not {}", format.in_words);
  }
  for (size_t at = 0; (at = text.find(folder, at)) != text.npos;) {
    text.erase(at, folder.size() + 1);
  }
  return Annotate({error.code(), text}, format.files[0]);
}

class OpenVinoRuntime final : public ModelRuntime {
 public:
  explicit OpenVinoRuntime(OpenVinoOptions options) : options_(std::move(options)) {
    const std::vector<std::string> can = core_.get_property("CPU", ov::device::capabilities);
    has_bfloat16_ = std::find(can.begin(), can.end(), ov::device::capability::BF16) != can.end();
  }

  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) override {
    if (source.settings.precision == RuntimeSettings::Precision::kBfloat16 && !has_bfloat16_) {
      return absl::FailedPreconditionError("this machine's CPU does not compute in bfloat16");
    }
    if (source.format == nn::kArtifactFormat) return LoadOwn(source);
    for (const Format& format : Formats()) {
      if (format.name == source.format) return LoadForeign(format, source);
    }
    return absl::UnimplementedError(fmt::format(
        "this worker does not run artifacts of format \"{}\"", source.format.substr(0, 80)));
  }

 private:
  using Loaded = absl::StatusOr<std::shared_ptr<const LoadedModel>>;

  Loaded LoadOwn(const ModelSource& source) {
    ASSIGN_OR_RETURN(SlipwayArtifact artifact, SlipwayArtifact::Open(source));
    const auto exported = Exported(artifact, source);
    if (!exported.ok()) return Annotate(exported.status(), nn::kWeightsFile);
    // Ours to have written right: what goes wrong here is no caller's fault.
    return Make([&] { return core_.read_model(*exported, ov::Tensor()); },
                std::move(artifact.signature), source, absl::StatusCode::kUnimplemented);
  }

  // As the trainer wrote it beside the weights, or written now.
  static absl::StatusOr<std::string> Exported(const SlipwayArtifact& artifact,
                                              const ModelSource& source) {
    const auto file = source.files.find(std::string(nn::kOnnxFile));
    if (file != source.files.end()) return ReadFile(file->second, kMaxOnnxBytes);
    return onnx::ExportOnnx(artifact.network, artifact.weights.tensors());
  }

  Loaded LoadForeign(const Format& format, const ModelSource& source) {
    for (const std::string_view file : format.files) {
      RETURN_IF_ERROR(PathOf(source, file).status());
    }
    ASSIGN_OR_RETURN(const StagedFiles files,
                     StagedFiles::Create(options_.staging_dir, source.files));
    const std::string path = format.entry.empty() ? files.folder() : files.PathOf(format.entry);
    Loaded model = Make([&] { return core_.read_model(path); }, {}, source,
                        absl::StatusCode::kInvalidArgument);
    if (!model.ok()) return Explain(model.status(), format, files.folder());
    return model;
  }

  /// With the signature that is given, or the model's own where that is empty. What `read` throws
  /// is of `code`.
  template <class Read>
  Loaded Make(const Read& read, Signature signature, const ModelSource& source,
              absl::StatusCode code) {
    std::shared_ptr<ov::Model> model;
    try {
      model = read();
      if (signature == Signature{}) {
        ASSIGN_OR_RETURN(signature, SignatureOf(*model));
      }
    } catch (const std::exception& error) {
      return OpenVinoError(error, code);
    }
    OpenVinoModel::Options options = {.instances = options_.instances,
                                      .threads = options_.threads,
                                      .precision = source.settings.precision};
    ASSIGN_OR_RETURN(std::shared_ptr<OpenVinoModel> made,
                     OpenVinoModel::Compile(core_, model, signature, options));
    if (options.precision != RuntimeSettings::Precision::kFloat32) {
      ASSIGN_OR_RETURN(const TensorBatch samples, ReadSamples(source, signature));
      options.instances = 1;
      options.precision = RuntimeSettings::Precision::kFloat32;
      ASSIGN_OR_RETURN(const auto reference,
                       OpenVinoModel::Compile(core_, model, signature, options));
      RETURN_IF_ERROR(made->Check(*reference, samples));
    }
    return made;
  }

  const OpenVinoOptions options_;
  ov::Core core_;
  bool has_bfloat16_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ModelRuntime>> MakeOpenVinoRuntime(const OpenVinoOptions& options) {
  StagedFiles::RemoveLeftovers(options.staging_dir);
  try {
    return std::make_unique<OpenVinoRuntime>(options);
  } catch (const std::exception& error) {
    return OpenVinoError(error, absl::StatusCode::kInternal);
  }
}

}  // namespace slipway::worker
