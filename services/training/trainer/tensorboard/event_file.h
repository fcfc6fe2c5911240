#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_TENSORBOARD_EVENT_FILE_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_TENSORBOARD_EVENT_FILE_H_

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/nn/network.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"
#include "nlohmann/json_fwd.hpp"

namespace tensorboard {
class Event;
class Summary;
}  // namespace tensorboard

namespace slipway::trainer {

/// What a run tells TensorBoard, as a file that grows: records of a length, the masked CRC-32C of
/// it, an event and the masked CRC-32C of that
/// (https://github.com/tensorflow/tensorboard/blob/master/tensorboard/summary/writer/record_writer.py).
/// What was told of a step that a killed attempt took and this one takes again is void. One thread.
///
/// What is told and cannot be written is lost; Flush() says so.
class EventFile {
 public:
  /// "events.out.tfevents.{seconds}.{nanoseconds}" in `folder`, which is made where it is missing,
  /// for what follows `step`. Errors: StorageFull, kInternal.
  static absl::StatusOr<EventFile> Create(const std::string& folder, int64_t step, absl::Time now);

  const std::string& path() const { return path_; }

  /// The layers as a graph.
  void AddGraph(const nn::Network& network, absl::Time now);

  /// The leaves of `spec` by their paths ("optimizer.learning_rate"), so that runs can be compared
  /// by them, and the tags of what they are to be compared for.
  void AddHyperparameters(const nlohmann::json& spec, std::span<const std::string> metric_tags,
                          absl::Time now);

  /// A grey picture: `height` rows of `width` bytes, 0 black.
  void AddPicture(const std::string& tag, std::string_view bytes, int height, int width,
                  int64_t step, absl::Time now);

  /// "validation/loss": 0.31, ...
  void AddScalars(const std::map<std::string, double>& scalars, int64_t step, absl::Time now);

  /// How the elements of FP32 tensors are spread, each under `prefix` and its name.
  void AddHistograms(const std::string& prefix, std::span<const Tensor> tensors, int64_t step,
                     absl::Time now);

  /// Errors: StorageFull where the volume is full, kInternal.
  absl::Status Flush();

 private:
  explicit EventFile(std::string path);
  void Add(const tensorboard::Event& event);
  void AddSummary(const tensorboard::Summary& summary, int64_t step, absl::Time now);

  std::string path_;
  std::string pending_;
  uint64_t written_ = 0;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_TENSORBOARD_EVENT_FILE_H_
