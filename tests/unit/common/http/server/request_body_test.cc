#include "common/http/server/request_body.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string_view>

namespace slipway::http {
namespace {

using Result = RequestBody::Result;

void Put(InputBuffer& input, std::string_view bytes) {
  const auto [space, size] = input.Prepare(input.size() + bytes.size());
  ASSERT_GE(size, bytes.size());
  std::memcpy(space, bytes.data(), bytes.size());
  input.Commit(bytes.size());
}

class RequestBodyTest : public ::testing::Test {
 protected:
  RequestBody BodyAfter(const std::string& fields, uint64_t limit) {
    ParsedHead parsed;
    size_t consumed = 0;
    EXPECT_EQ(
        parser_.ParseHead("PUT / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n", consumed, parsed),
        RequestParser::Result::kDone);
    return RequestBody(parsed, limit);
  }

  RequestParser parser_{16 << 10};
  InputBuffer input_;
  std::string sink_;
};

TEST_F(RequestBodyTest, TakesAsMuchAsItsLength) {
  RequestBody body = BodyAfter("Content-Length: 5\r\n", 5);
  Put(input_, "abc");
  EXPECT_EQ(body.Take(input_, parser_, sink_), Result::kMore);
  EXPECT_EQ(body.left(), 2u);
  Put(input_, "deGET");
  EXPECT_EQ(body.Take(input_, parser_, sink_), Result::kDone);
  EXPECT_EQ(sink_, "abcde");
  EXPECT_EQ(input_.view(), "GET");
  EXPECT_EQ(body.Take(input_, parser_, sink_), Result::kDone) << "and no more";
}

TEST_F(RequestBodyTest, IsDoneAtOnceWithoutABody) {
  EXPECT_TRUE(BodyAfter("", 0).done());
  EXPECT_TRUE(BodyAfter("Content-Length: 0\r\n", 0).done());
  EXPECT_TRUE(RequestBody().done());
}

TEST_F(RequestBodyTest, RefusesALengthOverItsLimitBeforeAByteCame) {
  RequestBody body = BodyAfter("Content-Length: 6\r\n", 5);
  EXPECT_EQ(body.Take(input_, parser_, sink_), Result::kTooLarge);
  body.set_limit(6);
  EXPECT_EQ(body.Take(input_, parser_, sink_), Result::kMore);
}

TEST_F(RequestBodyTest, TakesALengthThatFills64Bits) {
  RequestBody body = BodyAfter("Content-Length: 18446744073709551615\r\n", UINT64_MAX);
  Put(input_, "abc");
  EXPECT_EQ(body.Take(input_, parser_, sink_), Result::kMore);
  EXPECT_EQ(body.left(), UINT64_MAX - 3);
}

TEST_F(RequestBodyTest, CountsWhatTheChunksHold) {
  RequestBody body = BodyAfter("Transfer-Encoding: chunked\r\n", 5);
  Put(input_, "3;a=b\r\nabc\r\n2\r\nde");
  EXPECT_EQ(body.Take(input_, parser_, sink_), Result::kMore);
  Put(input_, "\r\n1\r\nf\r\n0\r\n\r\n");
  EXPECT_EQ(body.Take(input_, parser_, sink_), Result::kTooLarge);
}

TEST_F(RequestBodyTest, SaysThatAChunkIsMalformed) {
  RequestBody body = BodyAfter("Transfer-Encoding: chunked\r\n", 5);
  Put(input_, "xyz\r\n\r\n");
  EXPECT_EQ(body.Take(input_, parser_, sink_), Result::kMalformed);
}

}  // namespace
}  // namespace slipway::http
