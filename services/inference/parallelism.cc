#include "services/inference/parallelism.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <thread>
#include <utility>

#include "common/files/files.h"
#include "common/nn/model_description.h"
#include "common/tensor/safetensors.h"
#include "services/inference/batching/batch_tensors.h"
#include "services/inference/signature.h"

namespace slipway::worker {
namespace {

constexpr char kReference[] = R"({
  "format": 1,
  "task": "classification",
  "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 28, 28]}],
  "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]}],
  "architecture": {"type": "cnn", "channels": [32, 64]}
})";
constexpr size_t kRows = 8;
constexpr int kWarmUpRuns = 3;
constexpr absl::Duration kTime = absl::Milliseconds(100);
// What counts as "about as many".
constexpr double kMargin = 0.95;

// Weights of nought take as long as others.
absl::StatusOr<ModelSource> WriteReference(const std::string& folder) {
  ASSIGN_OR_RETURN(const nn::ModelDescription description,
                   nn::ModelDescription::Parse(kReference, "reference"));
  ASSIGN_OR_RETURN(const nn::Network network, description.BuildNetwork("reference"));
  std::vector<Tensor> weights;
  for (const nn::Parameter& parameter : network.parameters()) {
    const auto bytes = static_cast<size_t>(parameter.shape.Product()) * sizeof(float);
    ASSIGN_OR_RETURN(Tensor weight,
                     Tensor::Make(parameter.name, DataType::kFp32, parameter.shape,
                                  Buffer::Own(std::string(bytes, '\0')), parameter.name));
    weights.push_back(std::move(weight));
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return FromErrno(error.value(), "cannot make", folder);
  ModelSource source{.format = std::string(nn::kArtifactFormat), .files = {}};
  for (const std::string_view name : {nn::kDescriptionFile, nn::kWeightsFile}) {
    source.files[std::string(name)] = folder + "/" + std::string(name);
  }
  RETURN_IF_ERROR(WriteFileAtomically(source.files[std::string(nn::kDescriptionFile)],
                                      description.Print(), 0600));
  RETURN_IF_ERROR(WriteSafetensors(source.files[std::string(nn::kWeightsFile)], weights));
  return source;
}

absl::StatusOr<double> RowsASecond(const LoadedModel& model, int instances, const Clock& clock) {
  ASSIGN_OR_RETURN(const TensorBatch row, ZeroInputs(model.signature()));
  ASSIGN_OR_RETURN(const TensorBatch inputs, Gather(std::vector<const TensorBatch*>(kRows, &row)));
  for (int i = 0; i < kWarmUpRuns * instances; ++i) {
    RETURN_IF_ERROR(model.Run(inputs, absl::InfiniteFuture()).status());
  }
  std::atomic<int64_t> runs = 0;
  const absl::Duration start = clock.Monotonic();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < instances; ++i) {
      threads.emplace_back([&] {
        while (clock.Monotonic() - start < kTime &&
               model.Run(inputs, absl::InfiniteFuture()).ok()) {
          ++runs;
        }
      });
    }
  }
  return static_cast<double>(runs * kRows) / absl::ToDoubleSeconds(clock.Monotonic() - start);
}

}  // namespace

absl::StatusOr<MeasuredParallelism> MeasureParallelism(int cores, const RuntimeFor& runtime_for,
                                                       const std::string& folder,
                                                       const Clock& clock) {
  ASSIGN_OR_RETURN(const ModelSource source, WriteReference(folder));
  MeasuredParallelism measured;
  double most = 0;
  for (int threads = 1; threads <= cores; threads *= 2) {
    const Parallelism parallelism = {.instances = cores / threads, .threads = threads};
    ASSIGN_OR_RETURN(const std::unique_ptr<ModelRuntime> runtime, runtime_for(parallelism));
    ASSIGN_OR_RETURN(const std::shared_ptr<const LoadedModel> model, runtime->Load(source));
    ASSIGN_OR_RETURN(const double rows, RowsASecond(*model, parallelism.instances, clock));
    measured.candidates.push_back({parallelism, rows});
    most = std::max(most, rows);
  }
  const auto best = std::find_if(
      measured.candidates.begin(), measured.candidates.end(),
      [&](const auto& candidate) { return candidate.rows_a_second >= kMargin * most; });
  measured.best = best->parallelism;
  return measured;
}

}  // namespace slipway::worker
