#include "common/http/coding.h"

#include <zlib.h>

#include <string>

#include "gtest/gtest.h"

namespace slipway::http {
namespace {

std::string Compress(const std::string& plain, Coding coding) {
  z_stream stream = {};
  EXPECT_EQ(::deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED,
                           coding == Coding::kGzip ? 31 : 15, 8, Z_DEFAULT_STRATEGY),
            Z_OK);
  std::string out(::deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(::deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  ::deflateEnd(&stream);
  return out;
}

std::string Text(size_t size) {
  std::string text;
  for (size_t i = 0; text.size() < size; ++i) text += std::to_string(i * 7919);
  text.resize(size);
  return text;
}

TEST(CodingTest, KnowsItsNames) {
  EXPECT_EQ(ParseCoding("GZip"), Coding::kGzip);
  EXPECT_EQ(ParseCoding("deflate"), Coding::kDeflate);
  EXPECT_EQ(ParseCoding("identity"), Coding::kIdentity);
  EXPECT_EQ(ParseCoding("br"), std::nullopt);
  EXPECT_EQ(ParseCoding(""), std::nullopt);
}

TEST(CodingTest, DecodesWhatWasEncoded) {
  for (const size_t size : {0, 1, 65536, 65537, 1000000}) {
    const std::string text = Text(size);
    for (const Coding coding : {Coding::kGzip, Coding::kDeflate}) {
      const auto decoded = Decode(coding, Compress(text, coding), {});
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_EQ(*decoded, text);
    }
    EXPECT_EQ(*Decode(Coding::kIdentity, text, {}), text);
  }
}

TEST(CodingTest, DecodesSeveralGzipMembers) {
  const std::string two = Compress("one ", Coding::kGzip) + Compress("two", Coding::kGzip);
  EXPECT_EQ(*Decode(Coding::kGzip, two, {}), "one two");
}

TEST(CodingTest, RefusesWhatIsBrokenCutShortOrFollowedBySomethingElse) {
  for (const Coding coding : {Coding::kGzip, Coding::kDeflate}) {
    const std::string good = Compress(Text(1000), coding);
    for (size_t size = 0; size < good.size(); ++size) {
      EXPECT_TRUE(absl::IsInvalidArgument(Decode(coding, good.substr(0, size), {}).status()))
          << size;
    }
    EXPECT_TRUE(absl::IsInvalidArgument(Decode(coding, good + "x", {}).status()));
    std::string flipped = good;
    flipped[good.size() / 2] ^= 0x10;
    EXPECT_FALSE(Decode(coding, flipped, {}).ok());
  }
  EXPECT_FALSE(Decode(Coding::kGzip, Compress("x", Coding::kDeflate), {}).ok());
  EXPECT_FALSE(Decode(Coding::kDeflate, Compress("x", Coding::kGzip), {}).ok());
}

TEST(CodingTest, BoundsBytesAndRatio) {
  const std::string zeros(4 << 20, '\0');  // some 4 KB, compressed
  const std::string bomb = Compress(zeros, Coding::kGzip);
  EXPECT_EQ(ToHttpCode(Decode(Coding::kGzip, bomb, {}).status()), 413);
  EXPECT_EQ(*Decode(Coding::kGzip, bomb, {.max_ratio = 2000}), zeros);
  EXPECT_EQ(*Decode(Coding::kGzip, bomb, {.free_bytes = 4 << 20}), zeros);
  EXPECT_EQ(
      ToHttpCode(
          Decode(Coding::kGzip, bomb, {.max_bytes = (4 << 20) - 1, .max_ratio = 2000}).status()),
      413);
  EXPECT_EQ(ToHttpCode(Decode(Coding::kIdentity, "12345", {.max_bytes = 4}).status()), 413);
}

TEST(CodingTest, WhatIsEncodedDecodes) {
  for (const Coding coding : {Coding::kIdentity, Coding::kGzip, Coding::kDeflate}) {
    for (const size_t size : {0, 1, 5, 200'000}) {
      const std::string text = Text(size);
      const std::string encoded = Encode(coding, text);
      EXPECT_EQ(*Decode(coding, encoded, {}), text) << CodingName(coding) << size;
      if (size > 1000 && coding != Coding::kIdentity) {
        EXPECT_LT(encoded.size(), size / 2);
      }
    }
  }
}

TEST(CodingTest, ChoosesWhatTheCallerAccepts) {
  EXPECT_EQ(ChooseCoding(""), Coding::kIdentity);
  EXPECT_EQ(ChooseCoding("br, *"), Coding::kIdentity);
  EXPECT_EQ(ChooseCoding("gzip"), Coding::kGzip);
  EXPECT_EQ(ChooseCoding("deflate, GZip;q=0.5"), Coding::kGzip);
  EXPECT_EQ(ChooseCoding("deflate,br"), Coding::kDeflate);
  EXPECT_EQ(ChooseCoding("gzip;q=0, deflate"), Coding::kDeflate);
  EXPECT_EQ(ChooseCoding("gzip; q=0.000"), Coding::kIdentity);
  EXPECT_EQ(ChooseCoding("gzip; q=0.001"), Coding::kGzip);
}

}  // namespace
}  // namespace slipway::http
