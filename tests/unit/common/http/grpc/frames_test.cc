#include "common/http/grpc/frames.h"

#include <zlib.h>

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::http::grpc {
namespace {

using ::testing::ElementsAre;

std::string Frame(const std::string& message, char flag = 0) {
  std::string frame = BeginFrame(message.size());
  frame += message;
  EndFrame(frame);
  frame[0] = flag;
  return frame;
}

std::string Deflated(const std::string& plain) {
  uLongf size = ::compressBound(plain.size());
  std::string out(size, '\0');
  EXPECT_EQ(::compress(reinterpret_cast<Bytef*>(out.data()), &size,
                       reinterpret_cast<const Bytef*>(plain.data()), plain.size()),
            Z_OK);
  out.resize(size);
  return out;
}

// The messages of a body that comes in pieces of one size; "<code>" where it is refused.
std::vector<std::string> Read(const std::string& body, size_t piece, Coding coding,
                              uint64_t max_message_bytes = 1000) {
  FrameReader reader(coding, max_message_bytes);
  std::vector<std::string> messages;
  const auto fail = [&](const absl::Status& status) {
    messages.push_back("<" + std::to_string(ToHttpCode(status)) + ">");
    return messages;
  };
  for (size_t at = 0; at < body.size(); at += piece) {
    reader.Append(body.substr(at, piece));
    for (;;) {
      auto message = reader.Next();
      if (!message.ok()) return fail(message.status());
      if (!*message) break;
      messages.emplace_back((*message)->view());
    }
  }
  if (const absl::Status end = reader.End(); !end.ok()) return fail(end);
  return messages;
}

TEST(FrameReaderTest, FindsTheMessagesHoweverTheBodyIsCut) {
  const std::string body = Frame("one") + Frame("") + Frame(std::string(300, 'x')) +
                           Frame(Deflated("packed"), 1) + Frame("end");
  for (size_t piece = 1; piece <= body.size(); ++piece) {
    EXPECT_THAT(Read(body, piece, Coding::kDeflate),
                ElementsAre("one", "", std::string(300, 'x'), "packed", "end"))
        << piece;
  }
}

TEST(FrameReaderTest, RefusesABodyThatEndsWithinAMessage) {
  const std::string body = Frame("one");
  for (size_t size = 1; size < body.size(); ++size) {
    EXPECT_THAT(Read(body.substr(0, size), 100, Coding::kIdentity), ElementsAre("<400>")) << size;
  }
}

TEST(FrameReaderTest, RefusesAMessageByItsLengthAlone) {
  EXPECT_THAT(Read(std::string("\0\xff\xff\xff\xff", 5), 100, Coding::kIdentity),
              ElementsAre("<413>"));
  EXPECT_THAT(Read(Frame(std::string(1000, 'x')), 100, Coding::kIdentity),
              ElementsAre(std::string(1000, 'x')));
  EXPECT_THAT(Read(Frame(std::string(1001, 'x')), 5, Coding::kIdentity), ElementsAre("<413>"));
}

TEST(FrameReaderTest, TheLimitIsThatOfTheDecompressedMessage) {
  EXPECT_THAT(Read(Frame(Deflated(std::string(1001, 'x')), 1), 100, Coding::kDeflate),
              ElementsAre("<413>"));
}

TEST(FrameReaderTest, RefusesFlagsAndCodingsThatMakeNoSense) {
  EXPECT_THAT(Read(Frame("x", 2), 100, Coding::kGzip), ElementsAre("<400>"));
  EXPECT_THAT(Read(Frame("x", 1), 100, Coding::kIdentity), ElementsAre("<400>"));
  EXPECT_THAT(Read(Frame("x", 1), 100, Coding::kGzip), ElementsAre("<400>"));
}

TEST(OnlyMessageTest, TakesExactlyOne) {
  const auto read = [](const std::string& body, Coding coding = Coding::kIdentity) {
    const auto message = OnlyMessage(body, coding, 1000);
    return message.ok() ? std::string(message->view())
                        : "<" + std::to_string(ToHttpCode(message.status())) + ">";
  };
  EXPECT_EQ(read(Frame("one")), "one");
  EXPECT_EQ(read(Frame("")), "");
  EXPECT_EQ(read(Frame(Deflated("packed"), 1), Coding::kDeflate), "packed");
  EXPECT_EQ(read(""), "<400>");
  EXPECT_EQ(read("\0\0\0"), "<400>");
  EXPECT_EQ(read(Frame("one").substr(0, 7)), "<400>");
  EXPECT_EQ(read(Frame("one") + Frame("two")), "<400>");
  EXPECT_EQ(read(Frame(std::string(1001, 'x'))), "<413>");
}

TEST(EndFrameTest, WritesTheLengthMostSignificantByteFirst) {
  std::string frame = BeginFrame(0x10203);
  frame += std::string(0x10203, 'x');
  EndFrame(frame);
  EXPECT_EQ(frame.substr(0, 5), std::string("\0\0\1\2\3", 5));
}

}  // namespace
}  // namespace slipway::http::grpc
