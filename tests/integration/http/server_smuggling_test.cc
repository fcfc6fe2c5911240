// Forms that two parsers on the way may read differently: 400, and the connection is closed, so
// that nothing behind them is taken for a request.

#include <gmock/gmock.h>

#include "tests/integration/http/server_fixture.h"

namespace slipway::http {
namespace {

struct Form {
  const char* name;
  std::string bytes;
  int status = 400;
};

void PrintTo(const Form& form, std::ostream* out) { *out << form.name; }

class SmugglingTest : public ServerTest, public ::testing::WithParamInterface<Form> {};

TEST_P(SmugglingTest, IsRefusedAndTheConnectionClosed) {
  int handled = 0;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().target == "/smuggled") ++handled;
    Exchange& asked = *exchange;
    asked.ReadBody(1 << 20, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      if (body.ok()) exchange->Respond({.body = *body});
    });
  });
  RawPeer peer(server_->address());
  peer.Send(GetParam().bytes + "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
  const RawPeer::Answer answer = peer.Read();
  EXPECT_EQ(answer.status, GetParam().status);
  EXPECT_EQ(answer.headers.Get("connection"), "close");
  EXPECT_EQ(answer.headers.Get("content-type"), "application/json");
  EXPECT_THAT(answer.body, ::testing::HasSubstr("\"request_id\":\"" +
                                                std::string(answer.headers.Get("x-request-id"))));
  EXPECT_EQ(peer.ReadToEnd(), "");
  EXPECT_EQ(handled, 0);
}

std::string Post(const std::string& fields, const std::string& body = "") {
  return "POST / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" + body;
}

std::string Chunked(const std::string& body) {
  return Post("Transfer-Encoding: chunked\r\n", body);
}

std::vector<Form> Forms() {
  const std::string nul(1, '\0');
  return {
      {"LengthThenEncoding",
       Post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
      {"EncodingThenLength",
       Post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n")},
      {"TwoLengths", Post("Content-Length: 0\r\nContent-Length: 5\r\n")},
      {"TwoEqualLengths", Post("Content-Length: 0\r\nContent-Length: 0\r\n")},
      {"ListOfLengths", Post("Content-Length: 0, 0\r\n")},
      {"NegativeLength", Post("Content-Length: -1\r\n")},
      {"PlusLength", Post("Content-Length: +5\r\n", "hello")},
      {"HexLength", Post("Content-Length: 0x5\r\n", "hello")},
      {"FractionLength", Post("Content-Length: 5.0\r\n", "hello")},
      {"EmptyLength", Post("Content-Length: \r\n")},
      {"LengthWithSpaceInside", Post("Content-Length: 1 0\r\n", "0123456789")},
      {"LengthBeyond64Bits", Post("Content-Length: 18446744073709551616\r\n")},
      {"OtherEncoding", Post("Transfer-Encoding: gzip\r\n")},
      {"EncodingList", Post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")},
      {"ChunkedTwice", Post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n")},
      {"TwoEncodings",
       Post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
      {"IdentityThenChunked",
       Post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")},
      {"QuotedEncoding", Post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n")},
      {"EncodingWithVerticalTab", Post("Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n")},
      {"EncodingWithSpaceBeforeColon", Post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")},
      {"EncodingWithTabBeforeColon", Post("Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n")},
      {"EncodingInHttp10",
       "POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
      {"FoldedField", Post("X: a\r\n b\r\n")},
      {"FoldedEncoding", Post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")},
      {"FoldAfterTheRequestLine", "GET / HTTP/1.1\r\n X: a\r\nHost: x\r\n\r\n"},
      {"FoldOfTabs", Post("X: a\r\n\tb\r\n")},
      {"BareFeedInHead", "GET / HTTP/1.1\nHost: x\n\n"},
      {"BareFeedAfterAField", Post("X: a\nContent-Length: 5\r\n", "hello")},
      {"BareFeedAtTheEnd", "GET / HTTP/1.1\r\nHost: x\r\n\n"},
      {"BareReturnInAField", Post("X: a\rContent-Length: 5\r\n")},
      {"NulInAValue", Post("X: a" + nul + "b\r\n")},
      {"NulInAName", Post("X" + nul + ": a\r\n")},
      {"NulInTheTarget", "GET /" + nul + " HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"ControlInAValue", Post("X: a\x01\r\n")},
      {"EmptyName", Post(": a\r\n")},
      {"FieldWithoutColon", Post("Content-Length\r\n")},
      {"SpaceInAName", Post("Content Length: 5\r\n")},
      {"NoHost", "GET / HTTP/1.1\r\n\r\n"},
      {"TwoHosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"},
      {"HostWithAPath", "GET / HTTP/1.1\r\nHost: x/y\r\n\r\n"},
      {"HostWithAList", "GET / HTTP/1.1\r\nHost: x, y\r\n\r\n"},
      {"TargetWithoutSlash", "GET a HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"TargetWithFragment", "GET /a#b HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"TargetWithSpace", "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"TwoSpacesInTheRequestLine", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"Connect", "CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"AsteriskForGet", "GET * HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"NoVersion", "GET /\r\nHost: x\r\n\r\n"},
      {"LowerCaseVersion", "GET / http/1.1\r\nHost: x\r\n\r\n"},
      {"OtherVersion", "GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505},
      {"MethodWithParenthesis", "G(T / HTTP/1.1\r\nHost: x\r\n\r\n"},
      {"UnknownExpectation", Post("Expect: a-pony\r\n"), 417},
      {"ChunkSizeWithPlus", Chunked("+5\r\nhello\r\n0\r\n\r\n")},
      {"ChunkSizeNegative", Chunked("-5\r\nhello\r\n0\r\n\r\n")},
      {"ChunkSizeWithPrefix", Chunked("0x5\r\nhello\r\n0\r\n\r\n")},
      {"ChunkSizeEmpty", Chunked("\r\nhello\r\n0\r\n\r\n")},
      {"ChunkSizeWithSpaceBehind", Chunked("5 \r\nhello\r\n0\r\n\r\n")},
      {"ChunkSizeWithSpaceAhead", Chunked(" 5\r\nhello\r\n0\r\n\r\n")},
      {"ChunkSizeBeyond64Bits", Chunked("10000000000000005\r\nhello\r\n0\r\n\r\n")},
      {"ChunkSizeWithBareFeed", Chunked("5\nhello\r\n0\r\n\r\n")},
      {"ChunkLongerThanItsSize", Chunked("4\r\nhello\r\n0\r\n\r\n")},
      {"ChunkWithoutItsEnd", Chunked("5\r\nhello0\r\n\r\n")},
      {"ChunkEndWithBareFeed", Chunked("5\r\nhello\n0\r\n\r\n")},
      {"ChunkExtensionWithoutName", Chunked("5;\r\nhello\r\n0\r\n\r\n")},
      {"ChunkExtensionWithBareFeed", Chunked("5;a\nb\r\nhello\r\n0\r\n\r\n")},
      {"ChunkExtensionWithBareFeedInQuotes", Chunked("5;a=\"b\nc\"\r\nhello\r\n0\r\n\r\n")},
      {"FoldedTrailer", Chunked("0\r\nX: a\r\n b\r\n\r\n")},
      {"TrailerWithLength", Chunked("0\r\nContent-Length: 5\r\n\r\n")},
      {"TrailerWithBareFeed", Chunked("0\r\nX: a\n\r\n\r\n")},
  };
}

INSTANTIATE_TEST_SUITE_P(Forms, SmugglingTest, ::testing::ValuesIn(Forms()),
                         [](const auto& form) { return std::string(form.param.name); });

}  // namespace
}  // namespace slipway::http
