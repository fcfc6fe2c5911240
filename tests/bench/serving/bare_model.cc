#include "tests/bench/serving/bare_model.h"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <utility>

#include "common/nn/model_description.h"
#include "services/inference/openvino/openvino_runtime.h"
#include "services/inference/torch/torch_runtime.h"
#include "tests/bench/serving/models.h"

namespace slipway {
namespace {

constexpr double kMeasureMicros = 300'000;

template <class T>
T Must(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "bare model: %s\n", value.status().ToString().c_str());
  std::exit(1);
}

double CpuMicrosHere() { return static_cast<double>(std::clock()) * 1e6 / CLOCKS_PER_SEC; }

}  // namespace

BareModel::BareModel(const std::string& runtime, const TestArtifact& artifact)
    : runtime_(runtime == "torch"
                   ? Must(worker::MakeTorchRuntime({}))
                   : Must(worker::MakeOpenVinoRuntime({.staging_dir = dir_ / "staging"}))) {
  const std::string description_file(nn::kDescriptionFile);
  const std::string weights_file(nn::kWeightsFile);
  std::ofstream(dir_ / description_file) << artifact.description;
  std::ofstream(dir_ / weights_file, std::ios::binary) << artifact.weights;
  model_ = Must(runtime_->Load({.format = std::string(nn::kArtifactFormat),
                                .files = {{description_file, dir_ / description_file},
                                          {weights_file, dir_ / weights_file}}}));
}

double BareModel::MicrosPerRow(int64_t rows) {
  const TensorSpec& spec = model_->signature().inputs[0];
  Shape shape = spec.shape;
  shape[0] = rows;
  std::vector<float> values;
  for (int64_t i = 0; i < shape.Product(); ++i) values.push_back(BenchInput(i));
  std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  worker::TensorBatch inputs;
  inputs.push_back(Must(Tensor::Make(spec.name, spec.dtype, std::move(shape),
                                     Buffer::Own(std::move(bytes)), spec.name)));
  for (int i = 0; i < 20; ++i) Must(model_->Run(inputs, absl::InfiniteFuture()));
  const double start = CpuMicrosHere();
  int64_t runs = 0;
  double used = 0;
  while ((used = CpuMicrosHere() - start) < kMeasureMicros) {
    for (int i = 0; i < 20; ++i) Must(model_->Run(inputs, absl::InfiniteFuture()));
    runs += 20;
  }
  return used / static_cast<double>(runs * rows);
}

}  // namespace slipway
