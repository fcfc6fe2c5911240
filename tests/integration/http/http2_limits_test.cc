// What an HTTP/2 peer may take, and the floods that it may not: frames by hand. Time-outs are set
// short; the tests wait on the socket.

#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/http/http2_peer.h"
#include "tests/integration/http/memory_watch.h"
#include "tests/integration/http/server_fixture.h"
#include "tests/support/fake_clock.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temp_dir.h"

namespace slipway::http {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr uint32_t kNoError = 0;
constexpr uint32_t kProtocolError = 1;
constexpr uint32_t kRefusedStream = 7;
constexpr uint32_t kCancel = 8;
constexpr uint32_t kEnhanceYourCalm = 11;
constexpr milliseconds kSoon{5000};  // well above any time-out here, well below the defaults

// A request's HEADERS whose body is to come.
std::string Open(uint32_t stream, std::string_view path = "/") {
  return Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, stream,
                         Http2Peer::Block(Http2Peer::Post(path)));
}

class Http2LimitsTest : public ServerTest {
 protected:
  Http2LimitsTest() {
    // Each test shortens the one it is about; the others must not be what ends a connection.
    options_.header_timeout = options_.stall_timeout = options_.idle_timeout =
        options_.total_timeout = absl::Seconds(60);
  }

  /// Sends `frames` until the server ends the connection: its GOAWAY's error.
  static std::optional<uint32_t> Flood(Http2Peer& peer,
                                       const std::function<std::string(int)>& frames) {
    for (int i = 0; i < 20'000 && peer.Send(frames(i)); ++i) {
    }
    return peer.ReadGoAway();
  }
};

TEST_F(Http2LimitsTest, TakesAHeaderUpToItsLimitAndNoMore) {
  const Running running = ServeEcho();
  Http2Peer peer(server_->address());
  Headers fields = Http2Peer::Get("/");
  size_t bytes = 32 + 1;  // of the field that is added; each costs 32 bytes beside its own
  for (const Headers::Field field : fields) bytes += 32 + field.name.size() + field.value.size();
  const size_t room = options_.max_header_bytes - bytes;
  fields.Add("a", std::string(room, 'a'));
  EXPECT_EQ(peer.Ask(1, fields).status, 200);
  fields.Set("a", std::string(room + 1, 'a'));
  const Http2Peer::Answer answer = peer.Ask(3, fields);
  EXPECT_EQ(answer.status, 431);
  EXPECT_THAT(answer.body, HasSubstr("header_too_large"));
  Headers many = Http2Peer::Get("/");
  for (int i = 0; i < 300; ++i) many.Add("a", "");
  EXPECT_EQ(peer.Ask(5, many).status, 431) << "few bytes, too many fields";
  EXPECT_EQ(peer.Ask(7, Http2Peer::Get("/")).status, 200) << "the connection goes on";
  EXPECT_EQ(Refused(Refusal::kHeaderTooLarge), 2u);
}

TEST_F(Http2LimitsTest, CountsTheFieldsThatAFewBytesStandFor) {
  const Running running = ServeEcho();
  Http2Peer peer(server_->address());
  // A field of 4,000 bytes goes into the table of fields; each byte 0x80 + 62 names it again.
  Headers start = Http2Peer::Get("/");
  std::string block = Http2Peer::Block(start);
  std::string large = Http2Peer::Block({{"a", std::string(4000, 'a')}});
  large[0] = 0x40;
  block += large + std::string(10'000, static_cast<char>(0x80 + 62));
  peer.Send(Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders | Http2Peer::kEndStream, 1,
                            block));
  EXPECT_EQ(peer.ReadAnswer(1).status, 431);
}

// CVE-2024-27316, CVE-2024-28182.
TEST_F(Http2LimitsTest, EndsAConnectionWhoseHeaderDoesNotEnd) {
  const Running running = ServeEcho();
  Http2Peer large(server_->address());
  large.Send(Http2Peer::Make(Http2Peer::kHeaders, 0, 1, Http2Peer::Block(Http2Peer::Get("/"))));
  const std::string piece = Http2Peer::Block({{"a", std::string(16'000, 'a')}});
  EXPECT_EQ(
      Flood(large, [&](int) { return Http2Peer::Make(Http2Peer::kContinuation, 0, 1, piece); }),
      kEnhanceYourCalm);
  EXPECT_EQ(Refused(Refusal::kHeaderTooLarge), 1u);
  Http2Peer empty(server_->address());
  empty.Send(Http2Peer::Make(Http2Peer::kHeaders, 0, 1, Http2Peer::Block(Http2Peer::Get("/"))));
  EXPECT_EQ(Flood(empty, [](int) { return Http2Peer::Make(Http2Peer::kContinuation, 0, 1, ""); }),
            kEnhanceYourCalm);
  EXPECT_EQ(Refused(Refusal::kHeaderTooLarge), 2u);
}

TEST_F(Http2LimitsTest, EndsAHeaderThatDoesNotComeToItsEnd) {
  options_.header_timeout = absl::Milliseconds(100);
  const Running running = ServeEcho();
  const std::string head =
      Http2Peer::Make(Http2Peer::kHeaders, 0, 1, Http2Peer::Block(Http2Peer::Get("/")));
  // A block without its end, half a frame, half a frame's header, a preface alone and half of it.
  for (const std::string& begin : {head, head.substr(0, 20), head.substr(0, 5), std::string()}) {
    Http2Peer peer(server_->address());
    peer.Send(begin);
    EXPECT_TRUE(peer.raw().IsClosedWithin(kSoon)) << begin.size();
  }
  RawPeer half(server_->address());
  half.Send(Http2Peer::kPreface.substr(0, 10));
  EXPECT_TRUE(half.IsClosedWithin(kSoon));
  EXPECT_EQ(Refused(Refusal::kHeaderTimeout), 5u);
  // The same where other streams are under way, and however it comes.
  Http2Peer busy(server_->address());
  EXPECT_EQ(busy.Ask(1, Http2Peer::Get("/")).status, 200);
  busy.Send(Http2Peer::Make(Http2Peer::kHeaders, 0, 3, Http2Peer::Block(Http2Peer::Get("/"))));
  EXPECT_EQ(busy.ReadGoAway(), kEnhanceYourCalm);
  EXPECT_EQ(Refused(Refusal::kHeaderTimeout), 6u);
}

TEST_F(Http2LimitsTest, GivesAHeaderNoMoreTimeForComingByteByByte) {
  options_.header_timeout = absl::Milliseconds(150);
  const Running running = ServeEcho();
  Http2Peer peer(server_->address());
  EXPECT_EQ(peer.Ask(1, Http2Peer::Get("/")).status, 200);
  const std::string frame =
      Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, 3, std::string(10'000, 'a'));
  size_t sent = 0;
  while (sent < frame.size() && peer.raw().IsQuietFor(milliseconds(5))) {
    peer.Send(frame.substr(sent++, 1));
  }
  EXPECT_LT(sent, 2000u);
  EXPECT_EQ(peer.ReadGoAway(), kEnhanceYourCalm);
}

TEST_F(Http2LimitsTest, KeepsABusyConnectionWhoseReadsEndAnywhere) {
  options_.header_timeout = absl::Milliseconds(200);
  const Running running = ServeEcho();
  Http2Peer peer(server_->address());
  EXPECT_EQ(peer.Ask(1, Http2Peer::Get("/")).status, 200);
  // Each piece ends in the middle of the next request's header: no single one is late.
  std::string ahead = Http2Peer::Request(3, Http2Peer::Get("/"));
  for (uint32_t stream = 3; stream < 60; stream += 2) {
    ahead += Http2Peer::Request(stream + 2, Http2Peer::Get("/"));
    const size_t here = ahead.size() - 20;
    peer.Send(ahead.substr(0, here));
    ahead.erase(0, here);
    Http2Peer::Frame frame;  // no answer to it, which would come in the middle of a frame
    do {
      frame = peer.Read();
      ASSERT_FALSE(frame.ended());
      ASSERT_NE(frame.type, Http2Peer::kGoAway);
    } while (frame.type != Http2Peer::kData || (frame.flags & Http2Peer::kEndStream) == 0);
    peer.raw().IsQuietFor(milliseconds(20));
  }
}

// CVE-2023-44487.
TEST_F(Http2LimitsTest, EndsAConnectionThatResetsItsStreams) {
  std::atomic<int> handled = 0;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    ++handled;
    Exchange& asked = *exchange;
    asked.ReadBody(100, [exchange = std::move(exchange)](const absl::StatusOr<std::string>&) {});
  });
  Http2Peer peer(server_->address());
  EXPECT_EQ(Flood(peer,
                  [](int i) {
                    const uint32_t stream = 2 * static_cast<uint32_t>(i) + 1;
                    return Open(stream) + Http2Peer::Make(Http2Peer::kReset, 0, stream,
                                                          Http2Peer::Number(kCancel));
                  }),
            kEnhanceYourCalm);
  EXPECT_EQ(Refused(Refusal::kTooManyResets), 1u);
  EXPECT_LT(handled, 3000);
  WaitForStats([](const ServerStats& stats) { return stats.requests_open == 0; });
}

TEST_F(Http2LimitsTest, BearsResetsBesideAnswers) {
  const Running running = ServeEcho();
  Http2Peer peer(server_->address());
  for (uint32_t stream = 1; stream < 6000; stream += 4) {
    peer.Send(Open(stream) +
              Http2Peer::Make(Http2Peer::kReset, 0, stream, Http2Peer::Number(kCancel)));
    ASSERT_EQ(peer.Ask(stream + 2, Http2Peer::Get("/")).status, 200);
  }
}

// CVE-2025-8671: it is the server that resets, as the peer makes it.
TEST_F(Http2LimitsTest, EndsAConnectionThatMakesTheServerReset) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(100, [exchange = std::move(exchange)](const absl::StatusOr<std::string>&) {});
  });
  Http2Peer peer(server_->address());
  // A window that is opened beyond its end is an error of the stream.
  EXPECT_EQ(Flood(peer,
                  [](int i) {
                    const uint32_t stream = 2 * static_cast<uint32_t>(i) + 1;
                    return Open(stream) + Http2Peer::Make(Http2Peer::kWindowUpdate, 0, stream,
                                                          Http2Peer::Number(0x7fffffff));
                  }),
            kEnhanceYourCalm);
  EXPECT_EQ(Refused(Refusal::kTooManyResets) + Refused(Refusal::kFlood), 1u);
}

TEST_F(Http2LimitsTest, RefusesStreamsWhoseHandlersAreStillAtWorkOnOnesThatAreGone) {
  options_.max_streams = 10;
  Mutex mutex;
  std::vector<std::shared_ptr<Exchange>> kept;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    MutexLock lock(mutex);
    kept.push_back(std::move(exchange));
  });
  Http2Peer peer(server_->address());
  for (uint32_t stream = 1; stream < 41; stream += 2) {
    peer.Send(Open(stream) +
              Http2Peer::Make(Http2Peer::kReset, 0, stream, Http2Peer::Number(kCancel)));
  }
  EXPECT_EQ(peer.Ask(41, Http2Peer::Get("/")).reset, kRefusedStream);
  EXPECT_EQ(Refused(Refusal::kOverMemory), 1u);
  {
    MutexLock lock(mutex);
    EXPECT_EQ(kept.size(), 20u);
    kept.pop_back();
  }
  peer.Send(Http2Peer::Request(43, Http2Peer::Get("/")));
  WaitForStats([](const ServerStats& stats) { return stats.requests_open == 1; });
  MutexLock lock(mutex);
  kept.clear();
}

TEST_F(Http2LimitsTest, RefusesMoreStreamsThanItAnnounced) {
  options_.max_streams = 10;
  Mutex mutex;
  std::vector<std::shared_ptr<Exchange>> kept;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    MutexLock lock(mutex);
    kept.push_back(std::move(exchange));
  });
  Http2Peer peer(server_->address());
  // Before the settings are acknowledged the peer may not know; the stream alone is refused.
  for (uint32_t stream = 1; stream < 22; stream += 2) peer.Send(Open(stream));
  EXPECT_EQ(peer.ReadAnswer(21).reset, kRefusedStream);
  EXPECT_EQ(server_->stats().requests_open, 10u);
  MutexLock lock(mutex);
  kept.clear();
}

struct FloodOf {
  const char* name;
  uint8_t type;
  std::string payload;
  bool on_stream;
};

class Http2FloodTest : public Http2LimitsTest, public ::testing::WithParamInterface<FloodOf> {};

// CVE-2019-9511 to 9518.
TEST_P(Http2FloodTest, EndsTheConnection) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(100, [exchange = std::move(exchange)](const absl::StatusOr<std::string>&) {});
  });
  Http2Peer peer(server_->address());
  peer.Send(Open(1));
  const FloodOf& flood = GetParam();
  const std::string frame = Http2Peer::Make(flood.type, 0, flood.on_stream ? 1 : 0, flood.payload);
  EXPECT_EQ(Flood(peer, [&](int) { return frame; }), kEnhanceYourCalm);
  EXPECT_EQ(Refused(Refusal::kFlood), 1u);
  WaitForStats([](const ServerStats& stats) {
    return stats.requests_open == 0 && stats.bytes_read < 1 << 20;
  });
}

INSTANTIATE_TEST_SUITE_P(
    Frames, Http2FloodTest,
    ::testing::Values(FloodOf{"Ping", Http2Peer::kPing, "12345678", false},
                      FloodOf{"Settings", Http2Peer::kSettings, "", false},
                      FloodOf{"Priority", Http2Peer::kPriority, std::string(5, 0), true},
                      FloodOf{"WindowUpdate", Http2Peer::kWindowUpdate, Http2Peer::Number(1), true},
                      FloodOf{"EmptyData", Http2Peer::kData, "", true},
                      FloodOf{"UnknownType", 0xbe, "", false}),
    [](const auto& each) { return each.param.name; });

TEST_F(Http2LimitsTest, BearsAsManyWindowUpdatesAsPiecesOfAnswers) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->StartResponse(200, {});
    struct Loop {
      static void Write(std::shared_ptr<Exchange> exchange, int left) {
        if (left == 0) return exchange->Finish();
        Exchange& asked = *exchange;
        asked.Write("token", [exchange = std::move(exchange), left](const absl::Status&) {
          Write(exchange, left - 1);
        });
      }
    };
    Loop::Write(std::move(exchange), 5000);
  });
  Http2Peer peer(server_->address());  // opens both windows for each piece
  const Http2Peer::Answer answer = peer.Ask(1, Http2Peer::Get("/"));
  EXPECT_EQ(answer.body.size(), 25'000u);
  EXPECT_TRUE(answer.ended);
}

// CVE-2019-9511 and 9517: the answer is asked for and not taken.
TEST_F(Http2LimitsTest, EndsAnAnswerThatThePeerDoesNotTake) {
  options_.stall_timeout = absl::Milliseconds(200);
  Promise<bool> cancelled;
  std::shared_ptr<Exchange> kept;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().path() == "/small") {
      exchange->LimitPause(absl::InfiniteDuration());
      Exchange& asked = *exchange;
      return asked.ReadBody(100, [exchange = std::move(exchange)](absl::StatusOr<std::string>) {
        exchange->Respond({.body = "small"});
      });
    }
    exchange->OnCancel([&] { cancelled.Set(true); });
    exchange->StartResponse(200, {});
    exchange->Write(std::string(1 << 20, 'x'), nullptr);
    exchange->Finish();
    kept = std::move(exchange);
  });
  Http2Peer peer(server_->address());
  peer.Send(
      Http2Peer::Make(Http2Peer::kSettings, 0, 0, std::string("\0\4", 2) + Http2Peer::Number(0)) +
      Http2Peer::Request(1, Http2Peer::Get("/large")) + Open(3, "/small"));
  EXPECT_TRUE(cancelled.Wait());
  EXPECT_EQ(peer.ReadAnswer(1).reset, kCancel);
  EXPECT_EQ(Refused(Refusal::kWriteTimeout), 1u);
  peer.Send(Http2Peer::Make(Http2Peer::kData, Http2Peer::kEndStream, 3, "") +
            Http2Peer::Make(Http2Peer::kWindowUpdate, 0, 3, Http2Peer::Number(100)));
  EXPECT_EQ(peer.ReadAnswer(3).body, "small") << "what else is under way goes on";
  EXPECT_TRUE(peer.ReadGoAway().has_value()) << "and the connection ends with it";
  kept.reset();
}

TEST_F(Http2LimitsTest, EndsAConnectionThatDoesNotReadFromItsSocket) {
  options_.stall_timeout = absl::Milliseconds(200);
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.body = std::string(64 << 20, 'x')});
  });
  Http2Peer peer(server_->address());
  const std::string much = Http2Peer::Number(0x7fff0000);
  peer.Send(Http2Peer::Make(Http2Peer::kSettings, 0, 0, std::string("\0\4", 2) + much) +
            Http2Peer::Make(Http2Peer::kWindowUpdate, 0, 0, much) +
            Http2Peer::Request(1, Http2Peer::Get("/")));
  WaitForStats([](const ServerStats& stats) {
    return stats.connections_accepted == 1 && stats.connections_open == 0;
  });
  EXPECT_EQ(Refused(Refusal::kWriteTimeout), 1u);
}

TEST_F(Http2LimitsTest, EndsABodyThatDoesNotCome) {
  options_.stall_timeout = absl::Milliseconds(100);
  Promise<absl::Status> read;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().path() == "/pauses") exchange->LimitPause(absl::InfiniteDuration());
    Exchange& asked = *exchange;
    asked.ReadBody(100, [&, exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      if (body.ok()) return exchange->Respond({.body = *body});
      read.Set(body.status());
    });
  });
  Http2Peer peer(server_->address());
  peer.Send(Open(1) + Open(3, "/pauses"));
  EXPECT_EQ(peer.ReadAnswer(1).status, 408);
  EXPECT_EQ(read.Wait().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(Refused(Refusal::kBodyTimeout), 1u);
  peer.Send(Http2Peer::Make(Http2Peer::kData, Http2Peer::kEndStream, 3, "late"));
  EXPECT_EQ(peer.ReadAnswer(3).body, "late");
}

TEST_F(Http2LimitsTest, LetsAPeerGoWhoseOnlyStreamHasStalled) {
  FakeClock clock;
  options_.clock = &clock;
  options_.stall_timeout = absl::Seconds(10);
  Promise<bool> reading;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(100, [exchange = std::move(exchange)](const absl::StatusOr<std::string>&) {});
    reading.Set(true);
  });
  Http2Peer peer(server_->address());
  peer.Send(Open(1));
  reading.Wait();
  clock.Advance(options_.stall_timeout + absl::Seconds(1));
  EXPECT_EQ(peer.ReadAnswer(1).status, 408);
  EXPECT_TRUE(peer.ReadGoAway().has_value()) << "no time passes any more";
  EXPECT_EQ(Refused(Refusal::kBodyTimeout), 1u);
  EXPECT_EQ(Refused(Refusal::kIdleTimeout), 1u);
}

TEST_F(Http2LimitsTest, RefusesABodyOverItsLimitAndGoesOn) {
  options_.max_body_bytes = 10;
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    const bool pieces = asked.head().path() == "/pieces";
    auto done = [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      if (body.ok()) exchange->Respond({.body = *body});
    };
    pieces ? asked.ReadSome(std::move(done)) : asked.ReadBody(10, std::move(done));
  });
  Http2Peer peer(server_->address());
  EXPECT_EQ(peer.Ask(1, Http2Peer::Post("/"), "0123456789").body, "0123456789");
  EXPECT_EQ(peer.Ask(3, Http2Peer::Post("/"), "0123456789a").status, 413);
  EXPECT_EQ(peer.Ask(5, Http2Peer::Post("/pieces"), "0123456789a").status, 413);
  Headers announced = Http2Peer::Post("/");
  announced.Add("content-length", "11");
  peer.Send(
      Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, 7, Http2Peer::Block(announced)));
  const Http2Peer::Answer answer = peer.ReadAnswer(7);
  EXPECT_EQ(answer.status, 413) << "before a byte of it has come";
  EXPECT_THAT(answer.body, HasSubstr("10 bytes"));
  EXPECT_EQ(peer.ReadAnswer(7).reset, kNoError);
  EXPECT_EQ(Refused(Refusal::kBodyTooLarge), 3u);
  EXPECT_EQ(peer.Ask(9, Http2Peer::Post("/"), "ok").body, "ok");
}

TEST_F(Http2LimitsTest, EndsARequestThatTakesTooLong) {
  options_.total_timeout = absl::Milliseconds(100);
  Promise<bool> cancelled;
  std::shared_ptr<Exchange> kept[2];
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    const bool streams = exchange->head().path() == "/streams";
    if (streams) {
      exchange->LimitTime(absl::Milliseconds(150));
      exchange->StartResponse(200, {});
      exchange->OnCancel([&] { cancelled.Set(true); });
    }
    kept[streams] = std::move(exchange);
  });
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Request(1, Http2Peer::Get("/streams")) +
            Http2Peer::Request(3, Http2Peer::Get("/")));
  const Http2Peer::Answer answer = peer.ReadAnswer(3);
  EXPECT_EQ(answer.status, 504);
  EXPECT_THAT(answer.body, HasSubstr("deadline_exceeded"));
  EXPECT_EQ(peer.ReadAnswer(1).reset, kCancel);
  EXPECT_TRUE(cancelled.Wait());
  EXPECT_EQ(Refused(Refusal::kTotalTimeout), 2u);
  for (auto& each : kept) each.reset();
}

TEST_F(Http2LimitsTest, ClosesAnIdleConnectionWithAWord) {
  options_.idle_timeout = absl::Milliseconds(100);
  const Running running = ServeEcho();
  Http2Peer peer(server_->address());
  EXPECT_EQ(peer.Ask(1, Http2Peer::Get("/")).status, 200);
  EXPECT_EQ(peer.ReadGoAway(), kNoError);
  EXPECT_EQ(Refused(Refusal::kIdleTimeout), 1u);
}

TEST_F(Http2LimitsTest, GivesUpAPeerThatDoesNotAnswerAPing) {
  options_.ping_interval = options_.ping_timeout = absl::Milliseconds(100);
  const Running running = ServeEcho();
  Http2Peer dead(server_->address());
  EXPECT_EQ(dead.Ask(1, Http2Peer::Get("/")).status, 200);
  EXPECT_TRUE(dead.raw().IsClosedWithin(kSoon));
  EXPECT_EQ(Refused(Refusal::kPingTimeout), 1u);
}

TEST_F(Http2LimitsTest, KeepsAPeerThatAnswersPings) {
  options_.ping_interval = absl::Milliseconds(50);
  // Without a first request too.
  options_.header_timeout = absl::Milliseconds(50);
  options_.idle_timeout = absl::InfiniteDuration();
  const Running running = ServeEcho();
  Http2Peer peer(server_->address());
  for (int pings = 0; pings < 5;) {
    const Http2Peer::Frame frame = peer.Read();
    ASSERT_FALSE(frame.ended());
    pings += frame.type == Http2Peer::kPing ? 1 : 0;
  }
  EXPECT_EQ(peer.Ask(1, Http2Peer::Get("/")).status, 200);
}

TEST_F(Http2LimitsTest, RefusesWhatMayBeReadInTwoWays) {
  const Running running = ServeEcho();
  Http2Peer peer(server_->address());
  Headers other_host = Http2Peer::Get("/");
  other_host.Add("host", "y");
  EXPECT_EQ(peer.Ask(1, other_host).status, 400);
  EXPECT_EQ(peer.Ask(3, Http2Peer::Get("/a#b")).status, 400);
  EXPECT_EQ(
      peer.Ask(5, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a,b"}, {":path", "/"}})
          .status,
      400);
  EXPECT_EQ(Refused(Refusal::kMalformed), 3u);
  // nghttp2 resets streams whose header breaks a rule of the protocol.
  uint32_t stream = 7;
  for (const Headers& fields :
       {Headers{{":method", "GET"}, {":path", "/"}},
        Headers{{":method", "GET"}, {":scheme", "http"}, {":authority", "x"}, {":path", "a"}},
        Headers{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"Upper", "a"}},
        Headers{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"a", "b\r\nc"}},
        Headers{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"connection", "close"}},
        Headers{{":method", "GET"},
                {":scheme", "http"},
                {":path", "/"},
                {"transfer-encoding", "chunked"}}}) {
    EXPECT_EQ(peer.Ask(stream, fields).reset, kProtocolError) << stream;
    stream += 2;
  }
  Headers length = Http2Peer::Post("/");
  length.Add("content-length", "3");
  EXPECT_EQ(peer.Ask(stream, length, "four").reset, kProtocolError);
  EXPECT_EQ(Refused(Refusal::kMalformed), 10u);
  // A broken frame ends the connection.
  peer.Send(Http2Peer::Make(Http2Peer::kData, 0, 0, "x"));
  EXPECT_EQ(peer.ReadGoAway(), kProtocolError);
  EXPECT_EQ(Refused(Refusal::kMalformed), 11u);
}

TEST_F(Http2LimitsTest, RefusesATargetThatIsNoPathWhateverItsScheme) {
  const Running running = ServeEcho();
  Http2Peer peer(server_->address());
  uint32_t stream = 1;
  for (const char* target : {"a", "*", "?a=b", "http://x/"}) {
    const Headers fields = {
        {":method", "GET"}, {":scheme", "other"}, {":authority", "x"}, {":path", target}};
    EXPECT_EQ(peer.Ask(stream, fields).status, 400) << target;
    stream += 2;
  }
  EXPECT_EQ(server_->stats().requests_started, 0u);
}

TEST_F(Http2LimitsTest, HoldsNoMoreBodiesThanAConnectionMay) {
  options_.max_connection_bytes = 1 << 20;
  options_.stream_window = 256 << 10;
  std::atomic<int> whole = 0;
  MemoryWatch memory;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(4 << 20, [&, exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      memory.Look();
      if (body.ok() && body->size() == 2 << 20) ++whole;
      exchange->Respond({.body = "x"});
    });
  });
  // 16 bodies of 2 MB at once in one connection: they wait for each other, and all come through.
  const TempDir dir;
  std::ofstream(dir / "body", std::ios::binary) << std::string(2 << 20, 'b');
  const std::string command = "h2load -n 16 -c 1 -m 16 -d " + (dir / "body") + " http://" +
                              server_->address() + "/ > " + (dir / "out");
  ASSERT_EQ(std::system(command.c_str()), 0);
  EXPECT_EQ(whole, 16);
  // 1 MB, beside it the one that goes on and a window each: 7 MB, and what the heap makes of it.
  if (!kSanitized) {
    EXPECT_LT(memory.growth(), 20u << 20);
  }
  EXPECT_EQ(Refused(Refusal::kOverMemory), 0u);
}

TEST_F(Http2LimitsTest, RefusesStreamsWhileTheConnectionHoldsWhatItMay) {
  options_.max_connection_bytes = 100'000;
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.body = std::string(200'000, 'x')});
  });
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Request(1, Http2Peer::Get("/1")));
  WaitForStats([](const ServerStats& stats) { return stats.bytes_written > 65'000; });
  peer.Send(Http2Peer::Request(3, Http2Peer::Get("/3")));
  EXPECT_EQ(peer.ReadAnswer(3).reset, kRefusedStream);
  EXPECT_EQ(peer.ReadAnswer(1).body.size(), 200'000u);
  EXPECT_EQ(peer.Ask(5, Http2Peer::Get("/5")).body.size(), 200'000u);
  EXPECT_EQ(Refused(Refusal::kOverMemory), 1u);
}

}  // namespace
}  // namespace slipway::http
