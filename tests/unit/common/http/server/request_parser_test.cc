#include "common/http/server/request_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace slipway::http {
namespace {

using Result = RequestParser::Result;

constexpr size_t kLimit = 16 << 10;

// What became of a request that came in the given steps.
struct Outcome {
  Result result = Result::kNeedMore;
  ParsedHead parsed;
  std::string body;
  std::string rest;
  ParseError error;
};

// Feeds `bytes` as a connection does: `step` more bytes at a time.
Outcome Feed(const std::string& bytes, size_t step, size_t limit = kLimit) {
  RequestParser parser(limit);
  Outcome outcome;
  size_t start = 0;
  bool in_head = true;
  for (size_t end = 0; end < bytes.size();) {
    end = std::min(bytes.size(), end + step);
    for (bool again = true; again;) {
      again = false;
      // A copy of its own, so that a sanitizer sees a read beyond it.
      const std::string input = bytes.substr(start, end - start);
      size_t consumed = 0;
      outcome.result = in_head ? parser.ParseHead(input, consumed, outcome.parsed)
                               : parser.ParseChunks(input, consumed, outcome.body);
      if (outcome.result == Result::kError) {
        outcome.error = parser.error();
        return outcome;
      }
      if (in_head && outcome.result == Result::kNeedMore) break;
      start += consumed;
      if (outcome.result == Result::kDone) {
        if (!in_head || outcome.parsed.framing != Framing::kChunked) {
          outcome.rest = bytes.substr(start);
          return outcome;
        }
        in_head = false;
        again = true;
      }
    }
  }
  return outcome;
}

TEST(RequestParserTest, ReadsAHead) {
  const Outcome outcome = Feed(
      "POST /a%20b?c HTTP/1.1\r\nHOST: example.com:8080\r\nX-A:\t v  w \t\r\nX-Empty:\r\n"
      "Content-Length: 12\r\n\r\nrest",
      1000);
  ASSERT_EQ(outcome.result, Result::kDone);
  const RequestHead& head = outcome.parsed.head;
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.target, "/a%20b?c");
  EXPECT_EQ(head.path(), "/a%20b");
  EXPECT_EQ(head.query(), "c");
  EXPECT_EQ(head.headers.Get("x-a"), "v  w");
  EXPECT_EQ(head.headers.Find("x-empty"), "");
  EXPECT_EQ(head.headers.at(0).name, "HOST") << "as it was sent";
  EXPECT_EQ(outcome.parsed.framing, Framing::kLength);
  EXPECT_EQ(outcome.parsed.content_length, 12u);
  EXPECT_TRUE(outcome.parsed.keep_alive);
  EXPECT_EQ(outcome.rest, "rest");
}

TEST(RequestParserTest, KnowsWhetherTheConnectionIsKept) {
  const auto kept = [](const std::string& version, const std::string& connection) {
    const Outcome outcome = Feed(
        "GET / HTTP/" + version + "\r\nHost: x\r\nConnection: " + connection + "\r\n\r\n", 1000);
    EXPECT_EQ(outcome.result, Result::kDone) << connection;
    return outcome.parsed.keep_alive;
  };
  EXPECT_TRUE(kept("1.1", "keep-alive"));
  EXPECT_TRUE(kept("1.1", "Upgrade, HTTP2-Settings"));
  EXPECT_FALSE(kept("1.1", "Close"));
  EXPECT_FALSE(kept("1.1", "x, close"));
  EXPECT_TRUE(kept("1.0", "Keep-Alive"));
  EXPECT_FALSE(kept("1.0", "x"));
}

TEST(RequestParserTest, TakesTheAbsoluteForm) {
  const auto target = [](const std::string& target) {
    return Feed("OPTIONS " + target + " HTTP/1.1\r\nHost: x\r\n\r\n", 1000).parsed.head.target;
  };
  EXPECT_EQ(target("http://h:80/a?b"), "/a?b");
  EXPECT_EQ(target("HTTPS://h"), "/");
  EXPECT_EQ(target("http://h?q"), "/?q");
  EXPECT_EQ(target("*"), "*");
  EXPECT_EQ(Feed("GET ?q HTTP/1.1\r\nHost: x\r\n\r\n", 1000).result, Result::kError);
  EXPECT_EQ(Feed("GET ftp://h/ HTTP/1.1\r\nHost: x\r\n\r\n", 1000).result, Result::kError);
}

TEST(RequestParserTest, DecodesChunksHoweverTheyAreCut) {
  const std::string bytes =
      "PUT / HTTP/1.1\r\nHost: x\r\ntransfer-encoding: Chunked\r\n\r\n"
      "1\r\na\r\n0005;a=b;c=\"d;\\\"e\"\r\nhe\r\nl\r\n"
      "A ; x\r\n0123456789\r\n00\r\nTrailer: x\r\nOther:\r\n\r\nGET";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    const Outcome outcome = Feed(bytes, step);
    ASSERT_EQ(outcome.result, Result::kDone) << step << ": " << outcome.error.message;
    EXPECT_EQ(outcome.body, "ahe\r\nl0123456789");
    EXPECT_EQ(outcome.rest, "GET");
    EXPECT_FALSE(outcome.parsed.head.headers.Has("trailer"));
  }
}

TEST(RequestParserTest, DecodesAnEmptyBodyHoweverItIsCut) {
  const std::string bytes =
      "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  for (size_t step = 1; step <= bytes.size(); ++step) {
    EXPECT_EQ(Feed(bytes, step).result, Result::kDone) << step;
  }
}

TEST(RequestParserTest, RefusesFoldsInTrailersHoweverTheyAreCut) {
  for (const char* trailers : {"A: b\r\n c\r\n\r\n", "A:\r\n c\r\n\r\n", "A:\r\n \r\n\r\n",
                               "A: b\r\n \r\n\r\n", "A: b\nC: d\r\n\r\n"}) {
    const std::string bytes =
        "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" +
        std::string(trailers);
    for (size_t step = 1; step <= bytes.size(); ++step) {
      EXPECT_EQ(Feed(bytes, step).result, Result::kError) << step << " " << trailers;
    }
  }
}

TEST(RequestParserTest, RefusesABareFeedBeforeTheHeadIsWhole) {
  EXPECT_EQ(Feed("GET / HTTP/1.1\n", 1000).result, Result::kError);
  EXPECT_EQ(Feed("\n", 1000).result, Result::kError);
  EXPECT_EQ(Feed("GET / HTTP/1.1\r\nHost: x\n", 1).result, Result::kError);
}

TEST(RequestParserTest, PassesOverOneEmptyLineAheadOfARequest) {
  EXPECT_EQ(Feed("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 1).result, Result::kDone);
  EXPECT_EQ(Feed("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 1).result, Result::kError);
}

TEST(RequestParserTest, LimitsTheHeadToItsBytes) {
  const std::string start = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
  const size_t room = 1000 - start.size() - 4;
  for (const size_t step : {size_t{1}, size_t{7}, size_t{5000}}) {
    EXPECT_EQ(Feed(start + std::string(room, 'a') + "\r\n\r\n", step, 1000).result, Result::kDone);
    const Outcome over = Feed(start + std::string(room + 1, 'a') + "\r\n\r\n", step, 1000);
    EXPECT_EQ(over.result, Result::kError);
    EXPECT_EQ(over.error.status, 431);
    EXPECT_EQ(Feed(std::string(5000, 'a'), step, 1000).error.status, 431);
  }
}

TEST(RequestParserTest, LimitsTheLinesBetweenChunks) {
  const std::string head = "PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(Feed(head + "1;" + std::string(5000, 'a'), 100, 1000).error.status, 431);
  EXPECT_EQ(Feed(head + "0\r\nA: " + std::string(5000, 'a'), 100, 1000).error.status, 431);
  EXPECT_EQ(Feed(head + std::string(5000, '0'), 100, 1000).error.status, 431);
}

TEST(RequestParserTest, TakesTheLargestLength) {
  const auto length = [](const std::string& digits) {
    return Feed("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: " + digits + "\r\n\r\n", 1000);
  };
  EXPECT_EQ(length("18446744073709551615").parsed.content_length, UINT64_MAX);
  EXPECT_EQ(length("007").parsed.content_length, 7u);
  EXPECT_EQ(length("18446744073709551616").result, Result::kError);
  EXPECT_EQ(length("99999999999999999999").result, Result::kError);
}

TEST(RequestParserTest, SaysWhichVersionsItSpeaks) {
  EXPECT_EQ(Feed("GET / HTTP/1.2\r\nHost: x\r\n\r\n", 1000).error.status, 505);
  EXPECT_EQ(Feed("PRI * HTTP/2.0\r\n\r\n", 1000).error.status, 505);
  EXPECT_EQ(Feed("GET / HTTP/11\r\nHost: x\r\n\r\n", 1000).error.status, 400);
  EXPECT_EQ(Feed("GET / ICAP/1.1\r\nHost: x\r\n\r\n", 1000).error.status, 400);
}

// Whatever comes, in whatever pieces: an answer, the same for every way to cut it, and no crash
// (Beast's own assertions are on in this build).
TEST(RequestParserTest, GivesMutatedRequestsTheSameAnswerHoweverTheyAreCut) {
  const std::vector<std::string> seeds = {
      "GET /a?b HTTP/1.1\r\nHost: x\r\nX-A: b\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
      "3;a=\"b\"\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nT: u\r\n\r\nGET / HTTP/1.1\r\n",
  };
  static constexpr std::string_view kBytes =
      "\r\n\r\n\r\n :;,=\"\\\t0159afxAZ-+%/?#\x01\x7f\x80\xff";
  std::mt19937 random(7);
  int done = 0;
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = seeds[random() % seeds.size()];
    for (int edits = static_cast<int>(random() % 4); edits >= 0; --edits) {
      const size_t at = random() % bytes.size();
      switch (random() % 4) {
        case 0:
          bytes[at] = kBytes[random() % kBytes.size()];
          break;
        case 1:
          bytes.insert(at, 1, kBytes[random() % kBytes.size()]);
          break;
        case 2:
          bytes.erase(at, 1 + random() % 3);
          break;
        default:
          bytes.insert(at, bytes.substr(random() % bytes.size(), random() % 8));
          break;
      }
      if (bytes.empty()) bytes = "x";
    }
    const Outcome whole = Feed(bytes, bytes.size());
    const Outcome cut = Feed(bytes, 1 + random() % 7);
    // In pieces, an error may show only with bytes that the whole has at once: then the cut one
    // saw the same bytes and must agree, as both saw all in the end.
    ASSERT_EQ(whole.result, cut.result) << bytes;
    if (whole.result == Result::kDone) {
      ++done;
      ASSERT_EQ(whole.body, cut.body) << bytes;
      ASSERT_EQ(whole.rest, cut.rest) << bytes;
      ASSERT_EQ(whole.parsed.head.target, cut.parsed.head.target) << bytes;
      ASSERT_EQ(whole.parsed.framing, cut.parsed.framing) << bytes;
    } else if (whole.result == Result::kError) {
      ++refused;
      ASSERT_GE(whole.error.status, 400) << bytes;
      ASSERT_FALSE(whole.error.message.empty());
    }
  }
  EXPECT_GT(done, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace slipway::http
