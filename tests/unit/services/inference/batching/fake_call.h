#ifndef SLIPWAY_TESTS_UNIT_SERVICES_INFERENCE_BATCHING_FAKE_CALL_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_INFERENCE_BATCHING_FAKE_CALL_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "services/inference/batching/batch_call.h"

namespace slipway::worker {

/// What a test sees of a call after it was given away.
struct CallFate {
  int finished = 0;
  absl::Status status = absl::UnknownError("not finished");
  CallAnswer answer;
  bool abandoned = false;
};

class FakeCall final : public BatchCall {
 public:
  explicit FakeCall(std::shared_ptr<CallFate> fate, TensorBatch inputs = {},
                    std::function<void()> on_finish = nullptr)
      : fate_(std::move(fate)), inputs_(std::move(inputs)), on_finish_(std::move(on_finish)) {}

  bool Abandoned() const override { return fate_->abandoned; }
  const TensorBatch& inputs() const override { return inputs_; }
  void ReportRun(int64_t, const RunTimes&) override {}
  void Finish(absl::StatusOr<CallAnswer> answer) override {
    ++fate_->finished;
    fate_->status = answer.status();
    if (answer.ok()) fate_->answer = *std::move(answer);
    if (on_finish_) on_finish_();
  }

  const CallFate& fate() const { return *fate_; }

 private:
  const std::shared_ptr<CallFate> fate_;
  const TensorBatch inputs_;
  const std::function<void()> on_finish_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_INFERENCE_BATCHING_FAKE_CALL_H_
