#include "common/tracing/trace_context.h"

#include <gtest/gtest.h>

namespace slipway::tracing {
namespace {

constexpr char kTrace[] = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr char kSpan[] = "00f067aa0ba902b7";

std::string Text(const std::string& version, const std::string& trace, const std::string& span,
                 const std::string& flags) {
  return version + "-" + trace + "-" + span + "-" + flags;
}

TEST(TraceContextTest, ReadsAndWritesTheStandardsForm) {
  const std::string text = Text("00", kTrace, kSpan, "01");
  const auto context = TraceContext::Parse(text, "vendor=1,other=2");
  ASSERT_TRUE(context.has_value());
  EXPECT_EQ(context->trace_id, kTrace);
  EXPECT_EQ(context->span_id, kSpan);
  EXPECT_TRUE(context->sampled);
  EXPECT_EQ(context->state, "vendor=1,other=2");
  EXPECT_EQ(context->Traceparent(), text);
}

TEST(TraceContextTest, OnlyTheLastFlagSaysThatItIsSampled) {
  EXPECT_FALSE(TraceContext::Parse(Text("00", kTrace, kSpan, "00"), "")->sampled);
  EXPECT_FALSE(TraceContext::Parse(Text("00", kTrace, kSpan, "fe"), "")->sampled);
  EXPECT_TRUE(TraceContext::Parse(Text("00", kTrace, kSpan, "03"), "")->sampled);
}

TEST(TraceContextTest, TakesWhatVersionsToComeAdd) {
  EXPECT_TRUE(TraceContext::Parse(Text("01", kTrace, kSpan, "01") + "-more", "").has_value());
  EXPECT_FALSE(TraceContext::Parse(Text("01", kTrace, kSpan, "01") + "more", "").has_value());
  EXPECT_FALSE(TraceContext::Parse(Text("00", kTrace, kSpan, "01") + "-more", "").has_value());
}

TEST(TraceContextTest, RefusesWhatIsMalformed) {
  const std::string zeros(32, '0');
  for (const std::string& text :
       {std::string(), Text("00", kTrace, kSpan, "0"), Text("ff", kTrace, kSpan, "01"),
        Text("00", zeros, kSpan, "01"), Text("00", kTrace, zeros.substr(16), "01"),
        Text("00", "4BF92F3577B34DA6A3CE929D0E0E4736", kSpan, "01"),
        Text("00", "4bf92f3577b34da6a3ce929d0e0e473g", kSpan, "01"),
        Text("00", kTrace, "00f067aa0ba902bg", "01"), Text("0g", kTrace, kSpan, "01"),
        Text("00", kTrace, kSpan, "0x"), std::string(55, '-'),
        std::string("00_") + kTrace + "-" + kSpan + "-01"}) {
    EXPECT_FALSE(TraceContext::Parse(text, "").has_value()) << text;
  }
}

TEST(TraceContextTest, DropsAStateThatIsTooLong) {
  const std::string text = Text("00", kTrace, kSpan, "01");
  EXPECT_EQ(TraceContext::Parse(text, std::string(512, 'x'))->state.size(), 512u);
  EXPECT_EQ(TraceContext::Parse(text, std::string(513, 'x'))->state, "");
}

}  // namespace
}  // namespace slipway::tracing
