#ifndef SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_TRAINER_FAKE_ATTEMPT_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_TRAINER_FAKE_ATTEMPT_H_

#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/files/files.h"
#include "common/nn/network.h"
#include "services/training/trainer/attempt_host.h"
#include "services/training/trainer/learner.h"

namespace slipway::trainer {

/// A host whose dataset is a folder and whose registry is a map.
class FakeAttemptHost final : public AttemptHost {
 public:
  explicit FakeAttemptHost(std::string folder) : folder_(std::move(folder)) {}

  absl::StatusOr<std::string> FetchFile(const std::string& path) override {
    return folder_ + "/" + path;
  }
  absl::StatusOr<bool> Report(training::v1::Event event) override {
    events.push_back(std::move(event));
    if (!report_error.ok()) return report_error;
    return on_event && on_event(events.back());
  }
  absl::StatusOr<registry::v1::File> StoreFile(const std::string& path,
                                               const std::string& local_path) override {
    ASSIGN_OR_RETURN(stored[path], ReadFile(local_path));
    registry::v1::File file;
    file.set_path(path);
    return file;
  }
  absl::Status Complete(training::v1::CompleteAttemptRequest request) override {
    result = std::move(request);
    return absl::OkStatus();
  }
  absl::Status Fail(const std::string&, bool) override { return absl::OkStatus(); }

  /// The texts of the log events.
  std::string Logs() const {
    std::string logs;
    for (const auto& event : events) logs += event.log().text() + "\n";
    return logs;
  }

  std::function<bool(const training::v1::Event&)> on_event;  // true: stop
  absl::Status report_error;
  std::vector<training::v1::Event> events;
  std::map<std::string, std::string> stored;
  std::optional<training::v1::CompleteAttemptRequest> result;

 private:
  const std::string folder_;
};

/// "Learns" a hash over all that it was given, in order: two runs end with the same weight only if
/// each of their steps saw the same rows, step and rate.
class FakeLearner final : public Learner {
 public:
  struct Script {
    int64_t nan_at = 0;  // the step whose loss is no number; 0: none
    /// The share of rows that Judge gets right.
    double right = 1;
    int64_t classes = 3;
    int64_t* steps_taken = nullptr;
  };
  FakeLearner(nn::Network network, const Script& script)
      : network_(std::move(network)), script_(script) {}

  absl::StatusOr<StepResult> Train(const Batch& batch, int64_t step, double rate) override {
    if (script_.steps_taken != nullptr) ++*script_.steps_taken;
    if (step == script_.nan_at) {
      return StepResult{.loss = std::numeric_limits<double>::quiet_NaN(), .right = 0};
    }
    Mix(batch.inputs.data(), batch.inputs.size());
    Mix(batch.classes.data(), batch.classes.size() * sizeof(int64_t));
    Mix(&step, sizeof(step));
    Mix(&rate, sizeof(rate));
    return StepResult{.loss = 1.0 / static_cast<double>(step), .right = batch.size};
  }

  absl::StatusOr<Judgement> Judge(const Batch& batch) override {
    Judgement judgement{.loss = 0.5, .scores = {}};
    const auto width = static_cast<size_t>(script_.classes);
    judgement.scores.resize(static_cast<size_t>(batch.size) * width);
    for (size_t row = 0; row < static_cast<size_t>(batch.size); ++row) {
      const bool right = static_cast<double>(row) < script_.right * static_cast<double>(batch.size);
      const auto target = static_cast<size_t>(batch.classes[row]);
      judgement.scores[row * width + (right ? target : (target + 1) % width)] = 1;
    }
    return judgement;
  }

  // The network's parameters, each full of the hash.
  absl::StatusOr<std::vector<Tensor>> SaveModel() override {
    std::vector<Tensor> weights;
    for (const nn::Parameter& parameter : network_.parameters()) {
      std::string bytes(static_cast<size_t>(parameter.shape.Product()) * sizeof(float), '\0');
      for (size_t i = 0; i < bytes.size(); ++i) {
        bytes[i] = static_cast<char>(hash_ >> (8 * (i % sizeof(hash_))));
      }
      ASSIGN_OR_RETURN(weights.emplace_back(),
                       Tensor::Make(parameter.name, DataType::kFp32, parameter.shape,
                                    Buffer::Own(std::move(bytes)), parameter.name));
    }
    return weights;
  }
  absl::StatusOr<std::vector<Tensor>> SaveState() override {
    std::string bytes(reinterpret_cast<const char*>(&hash_), sizeof(hash_));
    ASSIGN_OR_RETURN(Tensor tensor, Tensor::Make("hash", DataType::kUint64, {1},
                                                 Buffer::Own(std::move(bytes)), "hash"));
    return std::vector<Tensor>{std::move(tensor)};
  }
  absl::Status LoadState(const SafetensorsFile& file) override {
    std::memcpy(&hash_, file.Find("hash")->data().data(), sizeof(hash_));
    return absl::OkStatus();
  }

 private:
  void Mix(const void* data, size_t size) {  // FNV-1a
    for (size_t i = 0; i < size; ++i) {
      hash_ = (hash_ ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
    }
  }

  const nn::Network network_;
  const Script script_;
  uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_TRAINER_FAKE_ATTEMPT_H_
