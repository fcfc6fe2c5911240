#include "services/inference/sequences/state_layout.h"

#include <cstring>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const Signature kModel = {.inputs = {{"mean", DataType::kFp32, {-1, 2}},
                                     {"x", DataType::kFp32, {-1, 3}},
                                     {"count", DataType::kInt64, {-1, 1}}},
                          .outputs = {{"new_count", DataType::kInt64, {-1, 1}},
                                      {"y", DataType::kFp32, {-1, -1}},
                                      {"new_mean", DataType::kFp32, {-1, 2}}}};
const std::vector<StateSpec> kStates = {{"mean", "new_mean"}, {"count", "new_count"}};

Tensor Filled(const TensorSpec& spec, char what) {
  Shape shape = spec.shape;
  for (size_t i = 0; i < shape.rank(); ++i) {
    if (shape[i] < 0) shape[i] = 1;
  }
  std::string bytes(static_cast<size_t>(*shape.ByteCount(spec.dtype, "x")), what);
  return *Tensor::Make(spec.name, spec.dtype, shape, Buffer::Own(std::move(bytes)), "x");
}

std::vector<std::string> Names(const std::vector<TensorSpec>& specs) {
  std::vector<std::string> names;
  for (const TensorSpec& spec : specs) names.push_back(spec.name);
  return names;
}

std::vector<std::string> Contents(const TensorBatch& batch) {
  std::vector<std::string> contents;
  for (const Tensor& tensor : batch) {
    contents.push_back(tensor.name() + tensor.data().view()[0]);
  }
  return contents;
}

TEST(StateLayoutTest, CallersDoNotSeeTheStates) {
  const auto layout = StateLayout::Make(kModel, kStates, "states");
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_THAT(Names(layout->visible().inputs), ElementsAre("x"));
  EXPECT_THAT(Names(layout->visible().outputs), ElementsAre("y"));
}

TEST(StateLayoutTest, ASequenceStartsWithOneRowOfZeros) {
  const auto layout = StateLayout::Make(kModel, kStates, "states");
  ASSERT_EQ(layout->zeros().size(), 2u);
  EXPECT_EQ(layout->zeros()[0].shape(), Shape({1, 2}));
  EXPECT_EQ(layout->zeros()[1].data().view(), std::string(8, '\0'));
  EXPECT_EQ(layout->bytes(), 16);
}

TEST(StateLayoutTest, JoinsAndSplitsByTheModelsOrder) {
  const auto layout = StateLayout::Make(kModel, kStates, "states");
  const TensorBatch joined =
      layout->Join({Filled(kModel.inputs[1], 'x')},
                   {Filled(kModel.inputs[0], 'm'), Filled(kModel.inputs[2], 'c')});
  EXPECT_THAT(Contents(joined), ElementsAre("meanm", "xx", "countc"));
  const auto parts = layout->Split({Filled(kModel.outputs[0], 'C'), Filled(kModel.outputs[1], 'Y'),
                                    Filled(kModel.outputs[2], 'M')});
  ASSERT_TRUE(parts.ok()) << parts.status();
  EXPECT_THAT(Contents(parts->outputs), ElementsAre("yY"));
  // The next call's inputs.
  EXPECT_THAT(Contents(parts->states), ElementsAre("meanM", "countC"));
}

TEST(StateLayoutTest, AStateHoldsNoMemoryOfTheBatchItCameFrom) {
  const auto layout = StateLayout::Make(kModel, kStates, "states");
  std::string batch(8, 'M');
  const auto parts = layout->Split(
      {Filled(kModel.outputs[0], 'C'), Filled(kModel.outputs[1], 'Y'),
       *Tensor::Make("new_mean", DataType::kFp32, {1, 2}, Buffer::Borrow(batch), "x")});
  ASSERT_TRUE(parts.ok()) << parts.status();
  batch.assign(batch.size(), '-');
  EXPECT_EQ(parts->states[0].data().view(), std::string(8, 'M'));
}

TEST(StateLayoutTest, AModelThatGivesAnotherShapeThanItDeclaresIsBroken) {
  const auto layout = StateLayout::Make(kModel, kStates, "states");
  const auto parts = layout->Split({Filled(kModel.outputs[0], 'C'), Filled(kModel.outputs[1], 'Y'),
                                    Filled({"new_mean", DataType::kFp32, {1, 3}}, 'M')});
  EXPECT_TRUE(absl::IsInternal(parts.status())) << parts.status();
}

TEST(StateLayoutTest, AModelThatTakesNoBatchesKeepsWholeTensors) {
  const Signature whole = {
      .inputs = {{"x", DataType::kFp32, {3}}, {"h", DataType::kFp32, {2, 4}}},
      .outputs = {{"y", DataType::kFp32, {3}}, {"new_h", DataType::kFp32, {2, 4}}}};
  const auto layout = StateLayout::Make(whole, {{"h", "new_h"}}, "states");
  ASSERT_TRUE(layout.ok()) << layout.status();
  EXPECT_EQ(layout->zeros()[0].shape(), Shape({2, 4}));
}

TEST(StateLayoutTest, RefusesWhatDoesNotFitByName) {
  const auto refused = [](const std::vector<StateSpec>& states, const Signature& model = kModel) {
    const absl::Status status = StateLayout::Make(model, states, "states").status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return status;
  };
  EXPECT_EQ(FieldOf(refused({{"nothing", "new_mean"}})), "states[0].input");
  EXPECT_EQ(FieldOf(refused({{"mean", "nothing"}})), "states[0].output");
  EXPECT_EQ(FieldOf(refused({kStates[0], {"mean", "new_count"}})), "states[1].input");
  EXPECT_EQ(FieldOf(refused({kStates[0], {"count", "new_mean"}})), "states[1].output");
  EXPECT_EQ(FieldOf(refused({{"mean", "new_count"}})), "states[0]");
  EXPECT_THAT(std::string(refused({{"mean", "new_count"}}).message()), HasSubstr("INT64"));
  Signature free = kModel;
  free.inputs[0].shape = {-1, -1};
  free.outputs[2].shape = {-1, -1};
  EXPECT_THAT(std::string(refused(kStates, free).message()), HasSubstr("free dimension"));
  // A state without a batch beside inputs with one: whose row would it be?
  Signature shared = kModel;
  shared.inputs[0].shape = {2};
  shared.outputs[2].shape = {2};
  EXPECT_THAT(std::string(refused(kStates, shared).message()), HasSubstr("free dimension"));
}

}  // namespace
}  // namespace slipway::worker
