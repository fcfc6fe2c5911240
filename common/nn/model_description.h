#ifndef SLIPWAY_COMMON_NN_MODEL_DESCRIPTION_H_
#define SLIPWAY_COMMON_NN_MODEL_DESCRIPTION_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/nn/architecture.h"
#include "common/nn/network.h"
#include "common/nn/picture_scaling.h"
#include "common/nn/preprocessing.h"
#include "common/nn/table.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"

namespace slipway::nn {

/// The files of a servable artifact of format "slipway".
inline constexpr std::string_view kDescriptionFile = "architecture.json";
inline constexpr std::string_view kWeightsFile = "model.safetensors";
/// Beside them, where the trainer could write them: the same as ONNX, and some rows of each input.
inline constexpr std::string_view kOnnxFile = "model.onnx";
inline constexpr std::string_view kSamplesFile = "samples.safetensors";
/// Files below it are for people (curves of the training, ...): no worker fetches them.
inline constexpr std::string_view kAboutFolder = "about/";
inline constexpr std::string_view kArtifactFormat = "slipway";

enum class Task {
  kClassification,  // gives "probabilities" [-1, classes] FP32
  kRegression,      // gives "prediction" [-1, targets] FP32
  /// Says which token comes behind a text: gives "probabilities" [-1, tokens] FP32, of the ids of
  /// the table's tokenizer. Its head, which a loss judges, says so after each step [-1, T, tokens].
  kLanguageModel,
  /// Says what a text is like: gives "embedding" [-1, numbers] FP32, in which texts that mean
  /// something alike are near each other. Its head, which a loss judges, says which token stands at
  /// each step [-1, T, tokens], of the ids of the table's tokenizer, which has a mask.
  kMaskedLanguageModel,
};

/// All of a model but its weights: what it takes and gives, how raw inputs are prepared, its
/// architecture. Trainer, registry and worker share it through the file `architecture.json`.
/// Torch-free. A value; parts are shared and immutable.
struct ModelDescription {
  Task task = Task::kClassification;
  std::optional<Table> table;              // where raw rows are those of a table: what encodes them
  std::optional<PictureScaling> pictures;  // where they are pictures of any size: what scales them
  TensorSpec input;                 // of the network: such or raw rows; dimension 0 is the batch
  TensorSpec output;                // see Task
  std::vector<std::string> labels;  // of the classes, by index; may be empty
  std::vector<std::shared_ptr<const Preprocessing>> preprocessing;  // first to last
  std::shared_ptr<const Architecture> architecture;

  /// Reads architecture.json and checks it whole: a network can be built from what it returns.
  /// Errors: InvalidField below `path` (may be empty).
  static absl::StatusOr<ModelDescription> Parse(std::string_view text, const std::string& path);

  /// As Parse reads it.
  std::string Print() const;

  /// Raw rows, as callers send them.
  std::vector<TensorSpec> inputs() const;

  /// The network that goes from `input` to `output`. Errors: InvalidField below `path`, for
  /// instance where a picture is too small for the architecture.
  absl::StatusOr<Network> BuildNetwork(const std::string& path) const;
};

/// The output of a model with that task and that many classes, targets or numbers.
TensorSpec OutputOf(Task task, int64_t size);

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_MODEL_DESCRIPTION_H_
