#include "services/training/trainer/hand_in.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/files/files.h"
#include "common/onnx/export.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/training/trainer/data/raw_table.h"
#include "services/training/trainer/model_card.h"

namespace slipway::trainer {
namespace {

// Below about/: what the version scored, and for classes the confusion matrix; what it was trained
// on; both in words.
constexpr std::string_view kEvaluationFile = "evaluation.json";
constexpr std::string_view kDataReportFile = "data-report.json";
constexpr std::string_view kModelCardFile = "model-card.md";

// Raw rows; and where the network takes them encoded or scaled, those too.
absl::Status WriteSamples(const TrainedModel& model, const std::string& path) {
  const TrainingData& data = model.data;
  const int64_t count =
      std::min<int64_t>(model.spec.job.evaluation().recorded_samples(), std::ssize(data.test_rows));
  Batch batch;
  Gather(*data.test, data.test_rows, 0, count, batch);
  const TensorSpec& input = model.description.input;
  std::vector<int64_t> shape = input.shape.dims();
  shape[0] = count;
  std::vector<Tensor> tensors;
  ASSIGN_OR_RETURN(
      tensors.emplace_back(),
      Tensor::Make(input.name, input.dtype, Shape(std::move(shape)),
                   Buffer::Own(std::string(batch.inputs.data(), batch.inputs.size())), "samples"));
  if (data.table.has_value()) {
    ASSIGN_OR_RETURN(
        std::vector<Tensor> raw,
        ToTensors(*data.raw_test, std::span(data.test_rows).first(static_cast<size_t>(count))));
    for (Tensor& tensor : raw) tensors.push_back(std::move(tensor));
  } else if (model.description.pictures.has_value()) {
    ASSIGN_OR_RETURN(Tensor raw, model.description.pictures->Unscale(tensors[0]));
    tensors.push_back(std::move(raw));
  }
  return WriteSafetensors(path, tensors, {});
}

// The files that workers need; returns their names.
absl::StatusOr<std::vector<std::string_view>> WriteModel(
    const TrainedModel& model, const std::string& folder,
    absl::FunctionRef<void(std::string text)> warn) {
  std::vector<std::string_view> files;
  const auto path = [&](std::string_view name) {
    files.push_back(name);
    return fmt::format("{}/{}", folder, name);
  };
  RETURN_IF_ERROR(WriteFileAtomically(path(nn::kDescriptionFile), model.description.Print()));
  RETURN_IF_ERROR(WriteSafetensors(path(nn::kWeightsFile), model.weights, {{"format", "pt"}}));
  const absl::StatusOr<std::string> onnx = onnx::ExportOnnx(model.network, model.weights);
  if (onnx.ok()) {
    RETURN_IF_ERROR(WriteFileAtomically(path(nn::kOnnxFile), *onnx));
  } else if (absl::IsUnimplemented(onnx.status())) {
    warn(fmt::format("the version has no {}: {}", nn::kOnnxFile,
                     std::string(onnx.status().message())));
  } else {
    return onnx.status();
  }
  // The file's format has no texts.
  const bool has_texts = model.data.table.has_value() && model.data.table->texts() > 0;
  if (model.spec.job.evaluation().recorded_samples() > 0 && !has_texts) {
    RETURN_IF_ERROR(WriteSamples(model, path(nn::kSamplesFile)));
  }
  return files;
}

void Fill(const TensorSpec& spec, registry::v1::TensorSpec* out) {
  out->set_name(spec.name);
  out->set_datatype(std::string(DataTypeName(spec.dtype)));
  for (const int64_t dim : spec.shape.dims()) out->add_shape(dim);
}

}  // namespace

absl::Status HandIn(const TrainedModel& model, const std::string& folder, const std::string& charts,
                    AttemptHost& host, absl::FunctionRef<void(std::string text)> warn) {
  ASSIGN_OR_RETURN(const std::vector<std::string_view> files, WriteModel(model, folder, warn));
  training::v1::CompleteAttemptRequest result;
  result.mutable_artifact()->set_format(std::string(nn::kArtifactFormat));
  const auto store = [&](const std::string& name, const std::string& local) -> absl::Status {
    ASSIGN_OR_RETURN(*result.mutable_artifact()->add_files(), host.StoreFile(name, local));
    return absl::OkStatus();
  };
  for (const std::string_view name : files) {
    RETURN_IF_ERROR(store(std::string(name), fmt::format("{}/{}", folder, name)));
  }
  const std::vector<std::string>& labels = model.data.labels;
  const std::pair<std::string_view, std::string> about[] = {
      {kEvaluationFile, PrintEvaluation(model.score, model.metrics, labels)},
      {kDataReportFile, model.data_report.facts.dump(2) + "\n"},
      {kModelCardFile, WriteModelCard(model.spec, model.description, model.dataset_digest,
                                      model.data_report, model.metrics)},
  };
  for (const auto& [name, text] : about) {
    const std::string local = fmt::format("{}/{}", folder, name);
    RETURN_IF_ERROR(WriteFileAtomically(local, text));
    RETURN_IF_ERROR(store(fmt::format("{}{}", nn::kAboutFolder, name), local));
  }
  std::error_code absent;
  for (const auto& chart : std::filesystem::directory_iterator(charts, absent)) {
    const std::filesystem::path& file = chart.path();
    RETURN_IF_ERROR(
        store(fmt::format("{}{}/{}", nn::kAboutFolder, file.parent_path().filename().string(),
                          file.filename().string()),
              file.string()));
  }
  for (const TensorSpec& input : model.description.inputs()) {
    Fill(input, result.mutable_signature()->add_inputs());
  }
  Fill(model.description.output, result.mutable_signature()->add_outputs());
  for (const auto& [metric, value] : model.metrics) (*result.mutable_metrics())[metric] = value;
  for (const std::string& label : labels) result.add_labels(label);
  return host.Complete(std::move(result));
}

}  // namespace slipway::trainer
