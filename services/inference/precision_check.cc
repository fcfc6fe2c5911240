#include "services/inference/precision_check.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "common/nn/model_description.h"
#include "common/tensor/safetensors.h"
#include "fmt/format.h"

namespace slipway::worker {
namespace {

std::vector<float> Floats(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.element_count()));
  if (!values.empty()) {
    std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(float));
  }
  return values;
}

size_t Largest(std::span<const float> values) {
  return static_cast<size_t>(std::max_element(values.begin(), values.end()) - values.begin());
}

// Adds one output's differences to `check`, and the samples whose label it changed to `changed`.
absl::Status Compare(const Tensor& expected, const Tensor& actual, PrecisionCheck& check,
                     std::set<int64_t>& changed) {
  if (expected.shape() != actual.shape() || expected.dtype() != DataType::kFp32) {
    return absl::OkStatus();
  }
  const std::vector<float> x = Floats(expected);
  const std::vector<float> y = Floats(actual);
  for (size_t i = 0; i < x.size(); ++i) {
    if (!std::isfinite(x[i])) continue;
    if (!std::isfinite(y[i])) {
      return absl::FailedPreconditionError(
          fmt::format("output \"{}\" overflows in the lower precision", expected.name()));
    }
    check.largest_difference =
        std::max(check.largest_difference, std::abs(static_cast<double>(x[i]) - y[i]));
  }
  if (expected.shape().rank() < 2 || check.samples == 0) return absl::OkStatus();
  const size_t row = x.size() / static_cast<size_t>(check.samples);
  for (int64_t i = 0; row > 1 && i < check.samples; ++i) {
    const size_t begin = static_cast<size_t>(i) * row;
    if (Largest(std::span(x).subspan(begin, row)) != Largest(std::span(y).subspan(begin, row))) {
      changed.insert(i);
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TensorBatch> ReadSamples(const ModelSource& source, const Signature& signature) {
  const auto file = source.files.find(std::string(nn::kSamplesFile));
  if (file == source.files.end()) {
    return absl::FailedPreconditionError(
        fmt::format("a lower precision is compared with float32 on recorded inputs, and the "
                    "version has none: add {} with rows of each input",
                    nn::kSamplesFile));
  }
  const auto samples = SafetensorsFile::Open(file->second, SafetensorsFile::Access::kRead);
  if (!samples.ok()) return Annotate(samples.status(), nn::kSamplesFile);
  TensorBatch batch;
  for (const TensorSpec& input : signature.inputs) {
    const Tensor* tensor = samples->Find(input.name);
    if (tensor == nullptr) {
      return absl::InvalidArgumentError(
          fmt::format("{}: has no input \"{}\"", nn::kSamplesFile, input.name));
    }
    const absl::Status fits = tensor->CheckAgainst(input, input.name);
    if (!fits.ok()) return Annotate(fits, nn::kSamplesFile);
    batch.push_back(*tensor);
  }
  return batch;
}

absl::StatusOr<PrecisionCheck> ComparePrecision(const LoadedModel& reference,
                                                const LoadedModel& candidate,
                                                const TensorBatch& samples) {
  ASSIGN_OR_RETURN(const TensorBatch expected, reference.Run(samples, absl::InfiniteFuture()));
  ASSIGN_OR_RETURN(const TensorBatch actual, candidate.Run(samples, absl::InfiniteFuture()));
  PrecisionCheck check;
  if (!samples.empty() && samples[0].shape().rank() > 0) check.samples = samples[0].shape()[0];
  std::set<int64_t> changed;
  for (size_t i = 0; i < std::min(expected.size(), actual.size()); ++i) {
    RETURN_IF_ERROR(Compare(expected[i], actual[i], check, changed));
  }
  check.changed_labels = static_cast<int64_t>(changed.size());
  return check;
}

}  // namespace slipway::worker
