#ifndef SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_TRAINER_FAKE_ATTEMPT_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_TRAINER_FAKE_ATTEMPT_H_

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/files/files.h"
#include "common/nn/fine_tuning.h"
#include "common/nn/network.h"
#include "services/training/trainer/attempt_host.h"
#include "services/training/trainer/learner.h"

namespace slipway::trainer {

/// A host whose dataset is a folder and whose registry is a map.
class FakeAttemptHost final : public AttemptHost {
 public:
  explicit FakeAttemptHost(std::string folder) : folder_(std::move(folder)) {}

  absl::StatusOr<std::vector<std::string>> ListFiles() override {
    std::vector<std::string> files;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
      files.push_back(std::filesystem::relative(entry.path(), folder_).string());
    }
    return files;
  }
  absl::StatusOr<std::string> FetchFile(const std::string& path) override {
    return folder_ + "/" + path;
  }
  absl::StatusOr<std::string> FetchBaseFile(const std::string& path) override {
    return base_folder + "/" + path;
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

  std::string base_folder;
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
    /// What Judge says after so many steps.
    std::function<double(int64_t step)> loss = [](int64_t) { return 0.5; };
    int64_t classes = 3;
    int64_t steps_led = 0;
    std::vector<Batch>* batches = nullptr;  // of all steps
    int64_t* steps_taken = nullptr;
    std::vector<int64_t>* batch_sizes = nullptr;  // of all steps
    std::vector<std::string>* started_with = nullptr;
  };
  FakeLearner(nn::Network network, const Script& script)
      : network_(std::move(network)), script_(script) {}

  absl::Status StartFrom(std::span<const Tensor> weights) override {
    for (const Tensor& tensor : weights) {
      Mix(tensor.name().data(), tensor.name().size());
      Mix(tensor.data().data(), tensor.data().size());
      if (script_.started_with != nullptr) script_.started_with->push_back(tensor.name());
    }
    return absl::OkStatus();
  }

  absl::StatusOr<StepResult> Train(std::span<const Batch> batches, int64_t step,
                                   double rate) override {
    if (script_.steps_taken != nullptr) ++*script_.steps_taken;
    if (step == script_.nan_at) {
      return StepResult{.loss = std::numeric_limits<double>::quiet_NaN(), .right = 0};
    }
    StepResult result = {.loss = 1.0 / static_cast<double>(step)};
    for (const Batch& batch : batches) {
      if (script_.batch_sizes != nullptr) script_.batch_sizes->push_back(batch.size);
      if (script_.batches != nullptr) script_.batches->push_back(batch);
      Mix(&batch.size, sizeof(batch.size));
      Mix(batch.inputs.data(), batch.inputs.size());
      Mix(batch.classes.data(), batch.classes.size() * sizeof(int64_t));
      result.right += batch.size;
    }
    Mix(&step, sizeof(step));
    Mix(&rate, sizeof(rate));
    state_.step = step;
    return result;
  }

  // The leader takes as many steps as the script says.
  absl::Status Follow(absl::FunctionRef<std::span<const Batch>(int64_t step)> part_of) override {
    for (int64_t step = 1; step <= script_.steps_led; ++step) {
      RETURN_IF_ERROR(Train(part_of(step), step, 0).status());
    }
    return absl::UnavailableError("the leader is gone");
  }

  absl::StatusOr<Judgement> Judge(const Batch& batch) override {
    Judgement judgement{.loss = script_.loss(state_.step), .scores = {}};
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
        bytes[i] = static_cast<char>(state_.hash >> (8 * (i % sizeof(state_.hash))));
      }
      ASSIGN_OR_RETURN(weights.emplace_back(),
                       Tensor::Make(parameter.name, DataType::kFp32, parameter.shape,
                                    Buffer::Own(std::move(bytes)), parameter.name));
    }
    return nn::MergeAdapters(network_, weights);
  }
  absl::Status KeepBest() override {
    state_.best = state_.hash;
    return absl::OkStatus();
  }
  absl::Status TakeBest() override {
    if (state_.best != 0) state_.hash = state_.best;
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<Tensor>> SaveState() override {
    std::string bytes(reinterpret_cast<const char*>(&state_), sizeof(state_));
    ASSIGN_OR_RETURN(Tensor tensor, Tensor::Make("state", DataType::kUint64, {3},
                                                 Buffer::Own(std::move(bytes)), "state"));
    return std::vector<Tensor>{std::move(tensor)};
  }
  absl::Status LoadState(const SafetensorsFile& file) override {
    std::memcpy(&state_, file.Find("state")->data().data(), sizeof(state_));
    return absl::OkStatus();
  }

 private:
  void Mix(const void* data, size_t size) {  // FNV-1a
    for (size_t i = 0; i < size; ++i) {
      state_.hash = (state_.hash ^ static_cast<const unsigned char*>(data)[i]) * 0x100000001b3;
    }
  }

  const nn::Network network_;
  const Script script_;
  struct State {
    uint64_t hash = 0xcbf29ce484222325;
    uint64_t best = 0;  // 0: none
    int64_t step = 0;
  };
  State state_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_TRAINER_FAKE_ATTEMPT_H_
