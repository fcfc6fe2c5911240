#include "common/http/server/response_writer.h"

#include <gtest/gtest.h>

namespace slipway::http {
namespace {

std::string HeadOf(int status, const Headers& headers, const ResponseFrame& frame) {
  std::string head;
  AppendResponseHead(head, status, headers, frame);
  return head;
}

TEST(ResponseWriterTest, WritesAHead) {
  EXPECT_EQ(
      HeadOf(201, {{"Location", "/a"}},
             {.content_length = 12, .request_id = "abc", .now = absl::FromUnixSeconds(784111777)}),
      "HTTP/1.1 201 Created\r\nLocation: /a\r\nx-request-id: abc\r\n"
      "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 12\r\n\r\n");
}

TEST(ResponseWriterTest, MakesANewDateEachSecond) {
  const auto date = [](int64_t second) {
    const std::string head = HeadOf(200, {}, {.now = absl::FromUnixSeconds(second)});
    return head.substr(head.find("Date"), 35);
  };
  EXPECT_EQ(date(1'700'000'000), "Date: Tue, 14 Nov 2023 22:13:20 GMT");
  EXPECT_EQ(date(1'700'000'001), "Date: Tue, 14 Nov 2023 22:13:21 GMT");
  EXPECT_EQ(date(0), "Date: Thu, 01 Jan 1970 00:00:00 GMT");
}

TEST(ResponseWriterTest, KeepsTheHandlersOwnRequestId) {
  const std::string head = HeadOf(200, {{"X-Request-Id", "own"}}, {.request_id = "abc"});
  EXPECT_NE(head.find("X-Request-Id: own"), std::string::npos);
  EXPECT_EQ(head.find("abc"), std::string::npos);
}

TEST(ResponseWriterTest, AnnouncesTheEndOfAConnection) {
  EXPECT_NE(HeadOf(200, {}, {.keep_alive = false}).find("Connection: close\r\n"),
            std::string::npos);
  EXPECT_EQ(HeadOf(200, {}, {.keep_alive = true}).find("Connection"), std::string::npos);
  EXPECT_NE(
      HeadOf(200, {}, {.http_version = 10, .keep_alive = true}).find("Connection: keep-alive\r\n"),
      std::string::npos);
}

TEST(ResponseWriterTest, LeavesFramingToTheConnection) {
  const std::string head = HeadOf(200,
                                  {{"Content-Length", "99"},
                                   {"Transfer-Encoding", "gzip"},
                                   {"Connection", "x"},
                                   {"Keep-Alive", "timeout=5"}},
                                  {.chunked = true});
  EXPECT_EQ(head.find("99"), std::string::npos);
  EXPECT_EQ(head.find("gzip"), std::string::npos);
  EXPECT_EQ(head.find("Keep-Alive"), std::string::npos);
  EXPECT_NE(head.find("Transfer-Encoding: chunked\r\n"), std::string::npos);
}

TEST(ResponseWriterTest, CleansValuesAndLeavesOutBadNames) {
  const std::string control = std::string("a\0b\r\nc\x7f", 7) + "\td\xc3\xa9";
  EXPECT_EQ(HeadOf(200, {{"x", control}, {"", "y"}, {"a b", "y"}, {"a:b", "y"}, {"a\r\nb", "y"}},
                   {.now = absl::FromUnixSeconds(0)}),
            "HTTP/1.1 200 OK\r\nx: a b  c \td\xc3\xa9\r\n"
            "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\n");
}

TEST(ResponseWriterTest, KnowsAnswersWithoutABody) {
  for (const int status : {100, 204, 304}) EXPECT_TRUE(IsBodiless(status, "GET")) << status;
  EXPECT_FALSE(IsBodiless(200, "GET"));
  EXPECT_TRUE(IsBodiless(200, "HEAD"));
}

}  // namespace
}  // namespace slipway::http
