#include "services/training/trainer/tensorboard/charts.h"

#include <algorithm>

#include "nlohmann/json.hpp"

namespace slipway::trainer {
namespace {

constexpr int64_t kMaxParameters = 20'000'000;
constexpr int64_t kPicturesAcross = 4;
constexpr int64_t kMaxPixels = 256 * 256;

// What makes one run differ from another.
nlohmann::json HyperparametersOf(const training::v1::JobSpec& job) {
  const training::v1::LoopSpec& loop = job.training();
  return {
      {"architecture", training::ToJson(job.architecture())},
      {"loss", training::ToJson(job.loss())},
      {"optimizer", training::ToJson(job.optimizer())},
      {"schedule", training::ToJson(job.schedule())},
      {"training",
       {{"epochs", loop.epochs()},
        {"batch_size", loop.batch_size()},
        {"seed", loop.seed()},
        {"clip_norm", loop.clip_norm()},
        {"clip_value", loop.clip_value()},
        {"accumulate", loop.accumulate()},
        {"l1", loop.l1()},
        {"ema_decay", loop.ema_decay()},
        {"precision", loop.precision().empty() ? training::kFloat32 : loop.precision()}}},
  };
}

}  // namespace

absl::StatusOr<Charts> Charts::Open(const std::string& folder, const training::Spec& spec,
                                    const nn::Network& network, const TrainingData& data,
                                    int64_t step, absl::Time now) {
  ASSIGN_OR_RETURN(EventFile file, EventFile::Create(folder, step, now));
  Charts charts(std::move(file));
  charts.file_.AddGraph(network, now);
  const bool numbers = spec.targets == training::TargetKind::kReal;
  const std::string tags[] = {"test/loss", numbers ? "test/r2" : "test/accuracy"};
  charts.file_.AddHyperparameters(HyperparametersOf(spec.job), tags, now);
  charts.AddPictures(data, step, now);
  return charts;
}

bool Charts::TakesParameters(int64_t count) { return count <= kMaxParameters; }

// The first ones, as one picture.
void Charts::AddPictures(const TrainingData& data, int64_t step, absl::Time now) {
  const Shape& shape = data.train->input.shape;
  const bool grey = shape.rank() == 3 || (shape.rank() == 4 && shape[1] == 1);
  if (!grey || data.train->input.dtype != DataType::kUint8) return;
  const int64_t height = shape[shape.rank() - 2];
  const int64_t width = shape[shape.rank() - 1];
  if (height * width > kMaxPixels) return;
  constexpr int64_t kPictures = kPicturesAcross * kPicturesAcross;
  const int64_t count = std::min<int64_t>(kPictures, std::ssize(data.train_rows));
  Batch batch;
  Gather(*data.train, data.train_rows, 0, count, batch);
  std::string grid(static_cast<size_t>(kPictures * height * width), '\0');
  for (int64_t i = 0; i < count * height; ++i) {
    const int64_t picture = i / height;
    const int64_t row = picture / kPicturesAcross * height + i % height;
    const int64_t column = picture % kPicturesAcross * width;
    std::copy_n(batch.inputs.begin() + i * width, width,
                grid.begin() + row * kPicturesAcross * width + column);
  }
  file_.AddPicture("train/pictures", grid, static_cast<int>(kPicturesAcross * height),
                   static_cast<int>(kPicturesAcross * width), step, now);
}

absl::Status Charts::Add(const std::map<std::string, double>& curves,
                         std::span<const Tensor> parameters, int64_t step, absl::Time now) {
  file_.AddScalars(curves, step, now);
  if (!parameters.empty()) file_.AddHistograms("parameters/", parameters, step, now);
  return file_.Flush();
}

}  // namespace slipway::trainer
