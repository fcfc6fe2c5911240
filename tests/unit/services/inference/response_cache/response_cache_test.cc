#include "services/inference/response_cache/response_cache.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fake_clock.h"

namespace slipway::worker {
namespace {

TensorBatch Batch(const std::string& bytes, Shape shape = {1, -1}) {
  if (shape[1] == -1) shape[1] = static_cast<int64_t>(bytes.size()) / shape[0];
  return {*Tensor::Make("x", DataType::kUint8, std::move(shape), Buffer::Own(bytes), "x")};
}

ResponseCache::Key KeyOf(const std::string& bytes) { return ResponseCache::KeyOf(Batch(bytes)); }

std::string BytesOf(const std::shared_ptr<const TensorBatch>& outputs) {
  return outputs == nullptr ? "nothing" : std::string((*outputs)[0].data().view());
}

// What an answer of ten bytes counts.
constexpr int64_t kOne = ResponseCache::kEntryBytes + 10;

class ResponseCacheTest : public testing::Test {
 protected:
  std::unique_ptr<ResponseCache> Make(int64_t max_bytes, const std::string& tenant = "acme") {
    return caches_.Make(tenant, {.max_bytes = max_bytes});
  }
  // Ten bytes.
  void Keep(ResponseCache& cache, char what) {
    cache.Keep(KeyOf({what}), Batch(std::string(10, what)));
    clock_.Advance(absl::Seconds(1));
  }
  // Which of the answers from 'a' to 'e' are there; looked at without being used.
  static std::string Kept(ResponseCache& cache) {
    std::string kept;
    for (const char what : {'a', 'b', 'c', 'd', 'e'}) {
      if (cache.Find(KeyOf({what})) != nullptr) kept += what;
    }
    return kept;
  }

  FakeClock clock_;
  ResponseCaches caches_{/*max_bytes_per_tenant=*/5 * kOne, clock_};
};

TEST_F(ResponseCacheTest, GivesBackWhatItWasGivenForTheSameInputsOnly) {
  const auto cache = Make(4 * kOne);
  EXPECT_EQ(cache->Find(KeyOf("in")), nullptr);
  cache->Keep(KeyOf("in"), Batch("out"));
  EXPECT_EQ(BytesOf(cache->Find(KeyOf("in"))), "out");
  EXPECT_EQ(cache->Find(KeyOf("in ")), nullptr);
}

TEST_F(ResponseCacheTest, ShapesAndTensorsAreTold) {
  EXPECT_NE(ResponseCache::KeyOf(Batch("abcd", {1, 4})),
            ResponseCache::KeyOf(Batch("abcd", {2, 2})));
  TensorBatch ab_c = {Batch("ab")[0], Batch("c")[0]};
  TensorBatch a_bc = {Batch("a")[0], Batch("bc")[0]};
  EXPECT_NE(ResponseCache::KeyOf(ab_c), ResponseCache::KeyOf(a_bc));
}

TEST_F(ResponseCacheTest, KeepsNoMemoryButItsOwn) {
  const auto cache = Make(4 * kOne);
  std::string memory = "a slice of a large batch";
  const Tensor slice = *Tensor::Make("x", DataType::kUint8, {1, 7},
                                     Buffer::Borrow(std::string_view(memory).substr(0, 7)), "x");
  cache->Keep(KeyOf("in"), {slice});
  memory.assign(memory.size(), '-');
  EXPECT_EQ(BytesOf(cache->Find(KeyOf("in"))), "a slice");
}

TEST_F(ResponseCacheTest, WhatWasUsedLongestAgoMakesRoom) {
  const auto cache = Make(3 * kOne);
  for (const char what : {'a', 'b', 'c'}) Keep(*cache, what);
  EXPECT_NE(cache->Find(KeyOf("a")), nullptr);
  clock_.Advance(absl::Seconds(1));
  Keep(*cache, 'd');
  EXPECT_EQ(Kept(*cache), "acd");
  EXPECT_EQ(cache->bytes(), 3 * kOne);
}

TEST_F(ResponseCacheTest, AnAnswerThatTakesMoreThanAllIsNotKeptAndTakesNothingFromOthers) {
  const auto cache = Make(3 * kOne);
  Keep(*cache, 'a');
  cache->Keep(KeyOf("b"), Batch(std::string(3 * kOne, 'b')));
  EXPECT_EQ(Kept(*cache), "a");
}

TEST_F(ResponseCacheTest, AnAnswerThatIsComputedTwiceCountsOnce) {
  const auto cache = Make(3 * kOne);
  Keep(*cache, 'a');
  Keep(*cache, 'a');
  EXPECT_EQ(cache->bytes(), kOne);
  EXPECT_EQ(Kept(*cache), "a");
}

TEST_F(ResponseCacheTest, AnAnswerGoesWhenItsTimeIsOverHoweverOftenItIsUsed) {
  const auto cache =
      caches_.Make("acme", {.max_bytes = 3 * kOne, .time_to_live = absl::Seconds(10)});
  cache->Keep(KeyOf("a"), Batch("out"));
  clock_.Advance(absl::Seconds(9));
  EXPECT_NE(cache->Find(KeyOf("a")), nullptr);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(cache->Find(KeyOf("a")), nullptr);
  EXPECT_EQ(cache->bytes(), 0);
}

TEST_F(ResponseCacheTest, OneTenantsCachesShareABound) {
  const auto one = Make(4 * kOne);
  const auto other = Make(4 * kOne);
  for (const char what : {'a', 'b', 'c'}) Keep(*one, what);
  for (const char what : {'a', 'b', 'c'}) Keep(*other, what);
  // The oldest of all, whichever cache it is in.
  EXPECT_EQ(Kept(*one), "bc");
  EXPECT_EQ(Kept(*other), "abc");
  EXPECT_EQ(one->bytes() + other->bytes(), 5 * kOne);
}

TEST_F(ResponseCacheTest, TenantsShareNeitherAnswersNorRoom) {
  const auto ours = Make(5 * kOne, "acme");
  const auto theirs = Make(5 * kOne, "globex");
  for (const char what : {'a', 'b', 'c', 'd', 'e'}) Keep(*ours, what);
  EXPECT_EQ(Kept(*theirs), "");
  for (const char what : {'a', 'b', 'c', 'd', 'e'}) Keep(*theirs, what);
  EXPECT_EQ(Kept(*ours), "abcde");
}

TEST_F(ResponseCacheTest, ACacheThatGoesLeavesItsRoomToTheOthers) {
  auto one = Make(5 * kOne);
  const auto other = Make(5 * kOne);
  for (const char what : {'a', 'b', 'c'}) Keep(*one, what);
  one.reset();
  for (const char what : {'a', 'b', 'c', 'd', 'e'}) Keep(*other, what);
  EXPECT_EQ(Kept(*other), "abcde");
}

TEST_F(ResponseCacheTest, NothingIsKeptWhereNothingMayBe) {
  EXPECT_EQ(Make(0), nullptr);
  ResponseCaches none(/*max_bytes_per_tenant=*/0, clock_);
  const auto cache = none.Make("acme", {.max_bytes = kOne});
  cache->Keep(KeyOf("a"), Batch("out"));
  EXPECT_EQ(cache->Find(KeyOf("a")), nullptr);
}

}  // namespace
}  // namespace slipway::worker
