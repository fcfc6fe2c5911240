#include "services/gateway/oip/answers_alike.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace slipway::gateway {
namespace {

template <class T>
InferAnswer Answer(const std::string& type, const std::vector<T>& values) {
  InferAnswer answer;
  auto& output = *answer.head.add_outputs();
  output.set_name("y");
  output.set_datatype(type);
  output.add_shape(static_cast<int64_t>(values.size()));
  answer.contents.emplace_back(
      absl::string_view(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)));
  return answer;
}

template <class T>
bool Alike(const std::string& type, const std::vector<T>& a, const std::vector<T>& b) {
  return AnswersAlike(Answer(type, a), Answer(type, b), 0.01);
}

TEST(AnswersAlikeTest, FloatsMayLieApartByTheToleranceOfTheLargerOneOrOfOne) {
  EXPECT_TRUE(Alike<float>("FP32", {0.5f, 1000}, {0.509f, 1009}));
  EXPECT_FALSE(Alike<float>("FP32", {0.5f, 1000}, {0.52f, 1000}));
  EXPECT_FALSE(Alike<float>("FP32", {0.5f, 1000}, {0.5f, 1020}));
  EXPECT_TRUE(Alike<double>("FP64", {1e-30, -5}, {2e-30, -5.04}));
  EXPECT_FALSE(Alike<double>("FP64", {5}, {-5}));
}

TEST(AnswersAlikeTest, WhatIsNoNumberIsLikeItself) {
  const float nan = std::nanf("");
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(Alike<float>("FP32", {nan, infinity}, {nan, infinity}));
  EXPECT_FALSE(Alike<float>("FP32", {nan}, {1}));
  EXPECT_FALSE(Alike<float>("FP32", {infinity}, {1}));
  EXPECT_FALSE(Alike<float>("FP32", {infinity}, {-infinity}));
}

TEST(AnswersAlikeTest, HalvesAreReadAsNumbers) {
  // 1, 1 + 1/1024, 2; the smallest; infinity.
  EXPECT_TRUE(Alike<uint16_t>("FP16", {0x3c00}, {0x3c01}));
  EXPECT_FALSE(Alike<uint16_t>("FP16", {0x3c00}, {0x4000}));
  EXPECT_TRUE(Alike<uint16_t>("FP16", {0x0001}, {0x0000}));
  EXPECT_FALSE(Alike<uint16_t>("FP16", {0x7c00}, {0x7bff}));
  // 1, 1 + 1/128, 2.
  EXPECT_TRUE(Alike<uint16_t>("BF16", {0x3f80}, {0x3f81}));
  EXPECT_FALSE(Alike<uint16_t>("BF16", {0x3f80}, {0x4000}));
}

TEST(AnswersAlikeTest, AllElseIsEqualOrDiffers) {
  EXPECT_TRUE(Alike<int64_t>("INT64", {1'000'000}, {1'000'000}));
  EXPECT_FALSE(Alike<int64_t>("INT64", {1'000'000}, {1'000'001}));
  EXPECT_FALSE(
      Alike<char>("BYTES", {4, 0, 0, 0, 'b', 'o', 'o', 't'}, {4, 0, 0, 0, 'b', 'o', 'a', 't'}));
}

TEST(AnswersAlikeTest, OutputsHaveTheSameForm) {
  const InferAnswer answer = Answer<float>("FP32", {1, 2});
  EXPECT_TRUE(AnswersAlike(answer, answer, 0));
  InferAnswer other = answer;
  other.head.mutable_outputs(0)->set_name("z");
  EXPECT_FALSE(AnswersAlike(answer, other, 1));
  other = answer;
  other.head.mutable_outputs(0)->add_shape(1);
  EXPECT_FALSE(AnswersAlike(answer, other, 1));
  EXPECT_FALSE(AnswersAlike(answer, Answer<int32_t>("INT32", {1, 2}), 1));
  EXPECT_FALSE(AnswersAlike(answer, InferAnswer(), 1));
}

TEST(AnswersAlikeTest, OfALargeAnswerTheBeginningTells) {
  std::vector<float> a(100'000, 1);
  std::vector<float> b = a;
  b[90'000] = 2;
  EXPECT_TRUE(Alike<float>("FP32", a, b));
  b[10'000] = 2;
  EXPECT_FALSE(Alike<float>("FP32", a, b));
}

}  // namespace
}  // namespace slipway::gateway
