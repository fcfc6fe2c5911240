#include "services/inference/batching/batch_tensors.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;

Tensor Make(const std::string& name, DataType type, Shape shape, std::string bytes) {
  return *Tensor::Make(name, type, std::move(shape), Buffer::Own(std::move(bytes)), name);
}

// One call: "x" UINT8 [rows, 2] and "t" BYTES [rows, 1].
TensorBatch Call(const std::string& bytes, const std::vector<std::string>& texts) {
  const auto rows = static_cast<int64_t>(texts.size());
  return {Make("x", DataType::kUint8, {rows, 2}, bytes),
          Make("t", DataType::kBytes, {rows, 1}, EncodeTexts(texts))};
}

TEST(BatchTensorsTest, RowsGoTogetherAndComeApartAgain) {
  const TensorBatch a = Call("abcd", {"one", ""});
  const TensorBatch b = Call("ef", {"three"});
  const TensorBatch c = Call("", {});
  const TensorBatch* calls[] = {&a, &b, &c};
  const auto batch = Gather(calls);
  ASSERT_TRUE(batch.ok()) << batch.status();
  EXPECT_EQ((*batch)[0].shape(), Shape({3, 2}));
  EXPECT_EQ((*batch)[0].data().view(), "abcdef");
  EXPECT_THAT((*batch)[1].Texts(), ElementsAre("one", "", "three"));

  const int64_t rows[] = {2, 1, 0};
  const auto apart = Scatter(*batch, rows);
  ASSERT_TRUE(apart.ok()) << apart.status();
  for (size_t i = 0; i < 3; ++i) {
    for (size_t tensor = 0; tensor < 2; ++tensor) {
      EXPECT_EQ((*apart)[i][tensor].name(), (*calls[i])[tensor].name());
      EXPECT_EQ((*apart)[i][tensor].shape(), (*calls[i])[tensor].shape());
      EXPECT_EQ((*apart)[i][tensor].data().view(), (*calls[i])[tensor].data().view());
    }
  }
}

// An element of a call, by its place.
template <class T>
T At(const Tensor& tensor, const std::vector<int64_t>& place) {
  int64_t index = 0;
  for (size_t i = 0; i < place.size(); ++i) index = index * tensor.shape()[i] + place[i];
  T value;
  std::memcpy(&value, tensor.data().data() + static_cast<size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

TEST(BatchTensorsTest, CallsOfDifferentLengthsAreFilledUpAndCutBackElementByElement) {
  const Signature signature = {
      {{"x", DataType::kInt16, {-1, -1, 2, -1}},
       {"mask", DataType::kUint8, {-1, -1}},
       {"scale", DataType::kFp32, {-1}}},
      {{"y", DataType::kInt16, {-1, -1, 2, -1}}, {"sum", DataType::kFp32, {-1}}}};
  const auto padding = Padding::Make(
      {{.axes = {{.tensor = "x", .axis = 1, .value = -7},
                 {.tensor = "mask", .axis = 1},
                 {.tensor = "y", .axis = 1}}},
       {.axes = {{.tensor = "x", .axis = 3, .value = -7}, {.tensor = "y", .axis = 3}}}},
      signature, "padding");
  ASSERT_TRUE(padding.ok()) << padding.status();
  std::mt19937_64 random(1);
  const auto pick = [&](int64_t from, int64_t to) {
    return std::uniform_int_distribution<int64_t>(from, to)(random);
  };
  const auto bytes = [&](int64_t count) {
    std::string text(static_cast<size_t>(count), '\0');
    for (char& c : text) c = static_cast<char>(pick(0, 255));
    return text;
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<TensorBatch> calls;
    std::vector<int64_t> rows;
    int64_t all_rows = 0;
    std::vector<int64_t> lengths = {1, 1};
    for (int64_t call = pick(1, 4); call > 0; --call) {
      rows.push_back(pick(0, 3));
      const int64_t a = pick(1, 5);
      const int64_t b = pick(1, 5);
      calls.push_back(
          {Make("x", DataType::kInt16, {rows.back(), a, 2, b}, bytes(rows.back() * a * 2 * b * 2)),
           Make("mask", DataType::kUint8, {rows.back(), a}, bytes(rows.back() * a)),
           Make("scale", DataType::kFp32, {rows.back()}, bytes(rows.back() * 4))});
      all_rows += rows.back();
      lengths = {std::max(lengths[0], a + pick(0, 1)), std::max(lengths[1], b)};
    }
    std::vector<const TensorBatch*> pointers;
    for (const TensorBatch& call : calls) pointers.push_back(&call);
    const auto batch = Gather(pointers, *padding, lengths);
    ASSERT_TRUE(batch.ok()) << batch.status();
    ASSERT_EQ((*batch)[0].shape(), Shape({all_rows, lengths[0], 2, lengths[1]}));
    ASSERT_EQ((*batch)[1].shape(), Shape({all_rows, lengths[0]}));
    ASSERT_EQ((*batch)[2].shape(), Shape({all_rows}));
    int64_t row = 0;
    for (size_t c = 0; c < calls.size(); ++c) {
      const Tensor& x = calls[c][0];
      for (int64_t r = 0; r < rows[c]; ++r, ++row) {
        for (int64_t i = 0; i < lengths[0]; ++i) {
          const bool in_a = i < x.shape()[1];
          EXPECT_EQ(At<uint8_t>((*batch)[1], {row, i}),
                    in_a ? At<uint8_t>(calls[c][1], {r, i}) : 0);
          for (int64_t j = 0; j < 2; ++j) {
            for (int64_t k = 0; k < lengths[1]; ++k) {
              EXPECT_EQ(At<int16_t>((*batch)[0], {row, i, j, k}),
                        in_a && k < x.shape()[3] ? At<int16_t>(x, {r, i, j, k}) : -7);
            }
          }
        }
        EXPECT_EQ(At<uint32_t>((*batch)[2], {row}), At<uint32_t>(calls[c][2], {r}));
      }
    }
    // A model that gives back what it takes.
    auto apart = Scatter({(*batch)[0], (*batch)[2]}, rows);
    ASSERT_TRUE(apart.ok()) << apart.status();
    for (size_t c = 0; c < calls.size(); ++c) {
      const int64_t own[] = {calls[c][0].shape()[1], calls[c][0].shape()[3]};
      ASSERT_TRUE(CutBack((*apart)[c], *padding, lengths, own).ok());
      EXPECT_EQ((*apart)[c][0].shape(), calls[c][0].shape());
      EXPECT_EQ((*apart)[c][0].data().view(), calls[c][0].data().view());
      EXPECT_EQ((*apart)[c][1].data().view(), calls[c][2].data().view());
    }
  }
}

TEST(BatchTensorsTest, AnOutputThatIsNotAsLongAsItsInputsIsTheModelsFault) {
  const auto padding = Padding::Make(
      {{.axes = {{.tensor = "x"}, {.tensor = "y"}}}},
      {{{"x", DataType::kUint8, {-1, -1}}}, {{"y", DataType::kUint8, {-1, -1}}}}, "padding");
  ASSERT_TRUE(padding.ok()) << padding.status();
  TensorBatch outputs = {Make("y", DataType::kUint8, {1, 3}, "abc")};
  const int64_t lengths[] = {4};
  const int64_t own[] = {2};
  EXPECT_TRUE(absl::IsInternal(CutBack(outputs, *padding, lengths, own)));
}

TEST(BatchTensorsTest, AnOutputWithoutARowForEachInputIsTheModelsFault) {
  const TensorBatch batch = {Make("y", DataType::kUint8, {3, 1}, "abc")};
  const int64_t rows[] = {1, 1};
  EXPECT_TRUE(absl::IsInternal(Scatter(batch, rows).status()));
  const TensorBatch scalar = {Make("y", DataType::kUint8, Shape(), "a")};
  EXPECT_TRUE(absl::IsInternal(Scatter(scalar, rows).status()));
}

TEST(TakeRowsTest, TakesEachRowFromTheFirstPartThatHasIt) {
  const TensorBatch all = Call("aabbccdd", {"a", "bb", "", "dddd"});
  const TensorBatch some = Call("XXYY", {"xxx", "y"});
  const std::vector<int64_t> every = {0, 1, 2, 3};
  const std::vector<int64_t> two = {1, 2};
  const auto take = [&](size_t tensor, const std::vector<int64_t>& wanted) {
    const SomeRows parts[] = {{some[tensor], two}, {all[tensor], every}};
    return TakeRows("out", parts, wanted).value();
  };
  EXPECT_EQ(take(0, every).data().view(), "aaXXYYdd");
  EXPECT_EQ(take(0, every).shape(), Shape({4, 2}));
  EXPECT_EQ(take(0, every).name(), "out");
  EXPECT_THAT(take(1, every).Texts(), ElementsAre("a", "xxx", "y", "dddd"));
  EXPECT_EQ(take(0, {0, 2}).data().view(), "aaYY");
  EXPECT_THAT(take(1, {2, 3}).Texts(), ElementsAre("y", "dddd"));
  EXPECT_EQ(take(0, {}).shape(), Shape({0, 2}));
}

TEST(TakeRowsTest, SharesTheMemoryOfAPartThatHasJustThoseRows) {
  const TensorBatch some = Call("XXYY", {"xxx", "y"});
  const std::vector<int64_t> two = {1, 2};
  const SomeRows part[] = {{some[0], two}};
  EXPECT_EQ(TakeRows("out", part, two)->data().data(), some[0].data().data());
}

TEST(TakeRowsTest, RowsOfDifferentShapesDoNotMakeOneTensor) {
  const Tensor wide = Make("x", DataType::kUint8, {1, 3}, "abc");
  const Tensor narrow = Make("x", DataType::kUint8, {1, 2}, "de");
  const std::vector<int64_t> first = {0};
  const std::vector<int64_t> second = {1};
  const std::vector<int64_t> both = {0, 1};
  const SomeRows parts[] = {{wide, first}, {narrow, second}};
  EXPECT_EQ(FieldOf(TakeRows("out", parts, both).status()), "out");
}

}  // namespace
}  // namespace slipway::worker
