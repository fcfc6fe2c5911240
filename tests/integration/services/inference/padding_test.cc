// Calls of different lengths that run as one padded batch answer as each does alone, on a real
// model that reads a mask.

#include <cmath>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/inference/batching/batcher.h"
#include "services/inference/openvino/openvino_runtime.h"
#include "tests/support/places.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/inference/batching/fake_call.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;

std::vector<float> FloatsOf(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.element_count()));
  std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(float));
  return values;
}

// Counts the runs, and remembers what the newest was given.
class Watched final : public LoadedModel {
 public:
  explicit Watched(std::shared_ptr<const LoadedModel> model) : model_(std::move(model)) {}
  std::string_view platform() const override { return model_->platform(); }
  const Signature& signature() const override { return model_->signature(); }
  int64_t memory_bytes() const override { return model_->memory_bytes(); }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time deadline) const override {
    {
      MutexLock lock(mutex_);
      shapes_.push_back(inputs[0].shape());
    }
    return model_->Run(inputs, deadline);
  }
  std::vector<Shape> TakeShapes() const {
    MutexLock lock(mutex_);
    return std::exchange(shapes_, {});
  }

 private:
  const std::shared_ptr<const LoadedModel> model_;
  mutable Mutex mutex_;
  mutable std::vector<Shape> shapes_ GUARDED_BY(mutex_);
};

class PaddingTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto runtime = MakeOpenVinoRuntime({.staging_dir = dir_ / "staging"});
    ASSERT_TRUE(runtime.ok()) << runtime.status();
    const auto model = (*runtime)->Load(
        {.format = "onnx",
         .files = {{"model.onnx", SourceFile("tests/fixtures/models/masked/model.onnx")}}});
    ASSERT_TRUE(model.ok()) << model.status();
    model_ = std::make_shared<Watched>(*model);
  }
  void Start(std::vector<int64_t> buckets) {
    const BatchPolicy policy = {.max_rows = 64};
    auto padding =
        Padding::Make({{.axes = {{"tokens"}, {"mask"}, {"states"}}, .buckets = std::move(buckets)}},
                      model_->signature(), "padding");
    ASSERT_TRUE(padding.ok()) << padding.status();
    queue_ = std::make_unique<ModelQueue>(policy, "acme", model_, absl::ZeroDuration(),
                                          *std::move(padding));
    batcher_ = std::make_unique<Batcher>(Batcher::Options{}, Clock::Real());
  }

  // `mask_length` other than `length` is a mistake of the caller.
  TensorBatch RandomCall(int64_t rows, int64_t length, int64_t mask_length) {
    std::string tokens;
    std::string mask;
    for (int64_t i = 0; i < rows * length; ++i) {
      const auto token = static_cast<int64_t>(random_() % 50);
      tokens.append(reinterpret_cast<const char*>(&token), sizeof(token));
    }
    for (int64_t i = 0; i < rows * mask_length; ++i) {
      // Some callers hide tokens of their own, but never the first.
      const float seen = i % mask_length == 0 || random_() % 8 != 0 ? 1 : 0;
      mask.append(reinterpret_cast<const char*>(&seen), sizeof(seen));
    }
    return {
        *Tensor::Make("tokens", DataType::kInt64, {rows, length}, Buffer::Own(tokens), "tokens"),
        *Tensor::Make("mask", DataType::kFp32, {rows, mask_length}, Buffer::Own(mask), "mask")};
  }

  // All of them wait before the first is run.
  std::vector<std::shared_ptr<CallFate>> RunTogether(const std::vector<TensorBatch>& calls) {
    model_->TakeShapes();
    batcher_->HoldUntil(*queue_, calls.size());
    std::vector<std::shared_ptr<CallFate>> fates;
    for (const TensorBatch& inputs : calls) {
      fates.push_back(std::make_shared<CallFate>());
      auto call = std::make_unique<FakeCall>(fates.back(), inputs, [this] {
        MutexLock lock(mutex_);
        ++finished_;
        changed_.SignalAll();
      });
      call->arrived = Clock::Real().Monotonic();
      batcher_->Submit(*queue_, std::move(call));
    }
    MutexLock lock(mutex_);
    while (finished_ < calls.size()) changed_.Wait(mutex_);
    finished_ = 0;
    return fates;
  }

  void ExpectAnsweredAsAlone(const TensorBatch& inputs, const CallFate& fate) {
    ASSERT_TRUE(fate.status.ok()) << fate.status;
    const auto alone = model_->Run(inputs, absl::InfiniteFuture());
    ASSERT_TRUE(alone.ok()) << alone.status();
    for (size_t i = 0; i < alone->size(); ++i) {
      ASSERT_EQ(fate.answer.outputs[i].shape(), (*alone)[i].shape());
      EXPECT_THAT(FloatsOf(fate.answer.outputs[i]),
                  testing::Pointwise(testing::FloatNear(1e-5F), FloatsOf((*alone)[i])));
    }
  }

  const TempDir dir_;
  std::mt19937_64 random_{1};
  std::shared_ptr<Watched> model_;
  std::unique_ptr<ModelQueue> queue_;
  Mutex mutex_;
  CondVar changed_;
  size_t finished_ GUARDED_BY(mutex_) = 0;
  std::unique_ptr<Batcher> batcher_;
};

TEST_F(PaddingTest, CallsOfAnyLengthsAnswerAsTheyDoAlone) {
  for (const bool buckets : {false, true}) {
    SCOPED_TRACE(buckets);
    batcher_.reset();
    Start(buckets ? std::vector<int64_t>{4, 16, 32} : std::vector<int64_t>{});
    size_t calls_made = 0;
    size_t runs = 0;
    for (int round = 0; round < 40; ++round) {
      std::vector<TensorBatch> calls;
      for (uint64_t call = 1 + random_() % 12; call > 0; --call) {
        const auto length = static_cast<int64_t>(1 + random_() % 48);
        calls.push_back(RandomCall(static_cast<int64_t>(1 + random_() % 3), length, length));
      }
      const auto fates = RunTogether(calls);
      calls_made += calls.size();
      runs += model_->TakeShapes().size();
      for (size_t i = 0; i < calls.size(); ++i) ExpectAnsweredAsAlone(calls[i], *fates[i]);
    }
    EXPECT_LT(runs, calls_made * 2 / 3) << "lengths up to twice each other go together";
  }
}

TEST_F(PaddingTest, ABatchIsAsLongAsItsLongestCallOrTheNextBucket) {
  Start({});
  RunTogether({RandomCall(1, 5, 5), RandomCall(2, 9, 9)});
  EXPECT_THAT(model_->TakeShapes(), ElementsAre(Shape({3, 9})));
  batcher_.reset();
  Start({16});
  RunTogether({RandomCall(1, 12, 12), RandomCall(2, 9, 9)});
  EXPECT_THAT(model_->TakeShapes(), ElementsAre(Shape({3, 16})));
  const auto alone = RunTogether({RandomCall(1, 9, 9)});
  EXPECT_THAT(model_->TakeShapes(), ElementsAre(Shape({1, 16})));
  EXPECT_EQ(alone[0]->answer.outputs[0].shape(), Shape({1, 9, 8}));
}

TEST_F(PaddingTest, ACallWhoseLengthsContradictEachOtherFailsAlone) {
  Start({});
  const std::vector<TensorBatch> calls = {RandomCall(1, 6, 6), RandomCall(1, 6, 4),
                                          RandomCall(1, 7, 7)};
  const auto fates = RunTogether(calls);
  EXPECT_THAT(model_->TakeShapes(), ElementsAre(Shape({2, 7}), Shape({1, 6})));
  ExpectAnsweredAsAlone(calls[0], *fates[0]);
  EXPECT_FALSE(fates[1]->status.ok());
  ExpectAnsweredAsAlone(calls[2], *fates[2]);
}

}  // namespace
}  // namespace slipway::worker
