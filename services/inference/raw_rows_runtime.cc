#include "services/inference/raw_rows_runtime.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "common/nn/model_description.h"
#include "services/inference/slipway_artifact.h"

namespace slipway::worker {
namespace {

// Which rows of an encoded batch have no answer.
std::vector<size_t> RowsWithoutAnswer(const Tensor& encoded) {
  const auto width = static_cast<size_t>(encoded.shape()[1]);
  std::vector<float> row(width);
  std::vector<size_t> rows;
  for (size_t i = 0; i < static_cast<size_t>(encoded.shape()[0]); ++i) {
    std::memcpy(row.data(), encoded.data().data() + i * width * sizeof(float),
                width * sizeof(float));
    for (const float value : row) {
      if (!std::isnan(value)) continue;
      rows.push_back(i);
      break;
    }
  }
  return rows;
}

// The same tensor with NaN in these rows.
absl::StatusOr<Tensor> WithoutAnswers(const Tensor& tensor, const std::vector<size_t>& rows) {
  if (tensor.dtype() != DataType::kFp32 || tensor.shape().rank() == 0) return tensor;
  const auto width = static_cast<size_t>(tensor.shape().Product(1));
  const std::vector<float> nothing(width, std::numeric_limits<float>::quiet_NaN());
  std::string bytes(tensor.data().view());
  for (const size_t row : rows) {
    std::memcpy(bytes.data() + row * width * sizeof(float), nothing.data(), width * sizeof(float));
  }
  return Tensor::Make(tensor.name(), tensor.dtype(), tensor.shape(), Buffer::Own(std::move(bytes)),
                      tensor.name());
}

// A network, and what is in front of it.
class RawRowsModel : public LoadedModel {
 public:
  RawRowsModel(std::vector<TensorSpec> inputs, std::shared_ptr<const LoadedModel> network)
      : network_(std::move(network)) {
    signature_.inputs = std::move(inputs);
    signature_.outputs = network_->signature().outputs;
  }

  std::string_view platform() const override { return network_->platform(); }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return network_->memory_bytes(); }
  int64_t device_memory_bytes() const override { return network_->device_memory_bytes(); }
  std::optional<PrecisionCheck> precision_check() const override {
    return network_->precision_check();
  }

 protected:
  const LoadedModel& network() const { return *network_; }

 private:
  const std::shared_ptr<const LoadedModel> network_;
  Signature signature_;
};

class TableModel final : public RawRowsModel {
 public:
  TableModel(nn::Table table, std::shared_ptr<const LoadedModel> network)
      : RawRowsModel(table.inputs(), std::move(network)), table_(std::move(table)) {}

  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time deadline) const override {
    TensorBatch encoded(1);
    ASSIGN_OR_RETURN(encoded[0], table_.Encode(inputs));
    ASSIGN_OR_RETURN(TensorBatch outputs, network().Run(encoded, deadline));
    const std::vector<size_t> rows = RowsWithoutAnswer(encoded[0]);
    if (rows.empty()) return outputs;
    for (Tensor& output : outputs) {
      ASSIGN_OR_RETURN(output, WithoutAnswers(output, rows));
    }
    return outputs;
  }

 private:
  const nn::Table table_;
};

class PictureModel final : public RawRowsModel {
 public:
  PictureModel(const nn::PictureScaling& scaling, std::shared_ptr<const LoadedModel> network)
      : RawRowsModel({scaling.raw()}, std::move(network)), scaling_(scaling) {}

  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time deadline) const override {
    if (inputs.size() != 1) return absl::InvalidArgumentError("a picture is one tensor");
    TensorBatch scaled(1);
    ASSIGN_OR_RETURN(scaled[0], scaling_.Scale(inputs[0]));
    return network().Run(scaled, deadline);
  }

 private:
  const nn::PictureScaling scaling_;
};

}  // namespace

absl::StatusOr<std::shared_ptr<const LoadedModel>> RawRowsRuntime::Load(const ModelSource& source) {
  ASSIGN_OR_RETURN(std::shared_ptr<const LoadedModel> network, network_.Load(source));
  if (source.format != nn::kArtifactFormat) return network;
  ASSIGN_OR_RETURN(nn::ModelDescription description, ReadDescription(source));
  if (description.table.has_value()) {
    return std::make_shared<const TableModel>(*std::move(description.table), std::move(network));
  }
  if (description.pictures.has_value()) {
    return std::make_shared<const PictureModel>(*description.pictures, std::move(network));
  }
  return network;
}

}  // namespace slipway::worker
