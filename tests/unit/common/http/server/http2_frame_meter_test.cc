#include "common/http/server/http2_frame_meter.h"

#include <gtest/gtest.h>

#include <string>

namespace slipway::http {
namespace {

using Verdict = Http2FrameMeter::Verdict;

constexpr int64_t kSecond = 1'000'000'000;
constexpr uint8_t kData = 0, kHeaders = 1, kReset = 3, kPing = 6, kContinuation = 9;
constexpr uint8_t kEndStream = 1, kEndHeaders = 4;

std::string Frame(uint8_t type, uint8_t flags, size_t size) {
  std::string frame = {static_cast<char>(size >> 16),
                       static_cast<char>(size >> 8),
                       static_cast<char>(size),
                       static_cast<char>(type),
                       static_cast<char>(flags),
                       0,
                       0,
                       0,
                       1};
  return frame + std::string(size, 'x');
}

// How many of such frames a fresh meter takes.
int Count(const std::string& frame, Verdict end, int64_t apart = 0) {
  Http2FrameMeter meter(1000);
  for (int i = 0; i < 20'000; ++i) {
    const Verdict verdict = meter.Take(frame, i * apart);
    if (verdict == Verdict::kOk) continue;
    EXPECT_EQ(verdict, end);
    return i;
  }
  return -1;
}

TEST(Http2FrameMeterTest, TakesFramesInAnyPieces) {
  const std::string bytes = Frame(kHeaders, kEndHeaders, 300) + Frame(kData, 0, 70) +
                            Frame(kPing, 0, 8) + Frame(kHeaders, 0, 400) +
                            Frame(kContinuation, kEndHeaders, 601);
  for (const size_t step : {1, 2, 8, 9, 10, 100, 2000}) {
    Http2FrameMeter meter(1000);
    Verdict verdict = Verdict::kOk;
    size_t at = 0;
    for (; at < bytes.size() && verdict == Verdict::kOk; at += step) {
      verdict = meter.Take(std::string_view(bytes).substr(at, step), 0);
    }
    EXPECT_EQ(verdict, Verdict::kHeaderTooLarge) << step << ": 400 and 601 bytes in one block";
    EXPECT_GE(at, bytes.size() - 601) << "and not before";
  }
}

TEST(Http2FrameMeterTest, BoundsAHeaderBlockHoweverItComes) {
  Http2FrameMeter meter(1000);
  EXPECT_EQ(meter.Take(Frame(kHeaders, kEndHeaders, 1000), 0), Verdict::kOk);
  EXPECT_EQ(meter.Take(Frame(kHeaders, kEndHeaders, 1000), 0), Verdict::kOk) << "each its own";
  EXPECT_EQ(meter.Take(Frame(kHeaders, 0, 0), 0), Verdict::kOk);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(meter.Take(Frame(kContinuation, 0, 0), 0), Verdict::kOk);
  }
  EXPECT_EQ(meter.Take(Frame(kContinuation, 0, 0), 0), Verdict::kHeaderTooLarge);
}

TEST(Http2FrameMeterTest, FramesThatCarryNothingUseUpAnAllowance) {
  EXPECT_EQ(Count(Frame(kPing, 0, 8), Verdict::kFlood), 1000);
  EXPECT_EQ(Count(Frame(kData, 0, 0), Verdict::kFlood), 1000);
  EXPECT_EQ(Count(Frame(0xbe, 0, 100), Verdict::kFlood), 1000);
  EXPECT_EQ(Count(Frame(kReset, 0, 4), Verdict::kTooManyResets), 1000);
  EXPECT_NEAR(Count(Frame(kPing, 0, 8), Verdict::kFlood, kSecond / 200), 2000, 2)
      << "at twice the rate that is borne for ever";
  EXPECT_EQ(Count(Frame(kPing, 0, 8), Verdict::kFlood, kSecond / 100), -1);
  EXPECT_EQ(Count(Frame(kData, 0, 1), Verdict::kOk), -1) << "a body";
  EXPECT_EQ(Count(Frame(kData, kEndStream, 0), Verdict::kOk), -1) << "the end of one";
}

TEST(Http2FrameMeterTest, AnswersEarnTheAllowanceBack) {
  Http2FrameMeter meter(1000);
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_EQ(meter.Take(Frame(kPing, 0, 8) + Frame(kReset, 0, 4), 0), Verdict::kOk) << i;
    meter.EarnAnswer();
    meter.EarnFrames();
  }
}

TEST(Http2FrameMeterTest, KnowsWhichFrameIsUnfinished) {
  Http2FrameMeter meter(1000);
  EXPECT_FALSE(meter.unfinished().has_value());
  const std::string head = Frame(kHeaders, 0, 100);
  EXPECT_EQ(meter.Take(head.substr(0, 50), 0), Verdict::kOk);
  const auto first = meter.unfinished();
  ASSERT_TRUE(first.has_value());
  meter.Take(head.substr(50), 0);
  EXPECT_EQ(meter.unfinished(), first) << "a frame without END_HEADERS";
  meter.Take(Frame(kContinuation, 0, 10), 0);
  EXPECT_EQ(meter.unfinished(), first) << "CONTINUATION is the same block";
  meter.Take(Frame(kContinuation, kEndHeaders, 10), 0);
  EXPECT_FALSE(meter.unfinished().has_value());
  meter.Take(Frame(kPing, 0, 8).substr(0, 12), 0);
  EXPECT_TRUE(meter.unfinished().has_value());
  EXPECT_NE(meter.unfinished(), first);
  meter.Take(Frame(kPing, 0, 8).substr(12), 0);
  meter.Take(Frame(kData, 0, 100).substr(0, 50), 0);
  EXPECT_FALSE(meter.unfinished().has_value()) << "a body has limits of its own";
  meter.Take(Frame(kData, 0, 100).substr(50), 0);
  meter.Take(Frame(kData, 0, 100).substr(0, 3), 0);
  EXPECT_TRUE(meter.unfinished().has_value()) << "what it is to be nobody knows";
}

}  // namespace
}  // namespace slipway::http
