// What HTTP/2 adds to the same Exchange: streams beside each other, trailers, both directions at
// once, cancellation. Frames by hand, and real clients.

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "common/http/server/held_writes.h"
#include "tests/integration/http/http2_peer.h"
#include "tests/integration/http/server_fixture.h"
#include "tests/support/temp_dir.h"

namespace slipway::http {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr uint32_t kNoError = 0;
constexpr uint32_t kInternalError = 2;
constexpr uint32_t kCancel = 8;

class Http2Test : public ServerTest {
 protected:
  /// Hands each exchange to the test, by its path.
  [[nodiscard]] Running ServeHeld() {
    return Serve([this](std::shared_ptr<Exchange> exchange) {
      const std::string path(exchange->head().path());
      MutexLock lock(mutex_);
      held_[path] = std::move(exchange);
      came_.SignalAll();
    });
  }

  std::shared_ptr<Exchange> Held(const std::string& path) {
    MutexLock lock(mutex_);
    while (!held_.contains(path)) came_.Wait(mutex_);
    auto exchange = std::move(held_[path]);
    held_.erase(path);
    return exchange;
  }

 private:
  Mutex mutex_;
  CondVar came_;
  std::map<std::string, std::shared_ptr<Exchange>> held_ GUARDED_BY(mutex_);
};

TEST_F(Http2Test, ServesTheSameHandlerOnTheSamePort) {
  RequestHead seen;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    seen = exchange->head();
    Exchange& asked = *exchange;
    asked.ReadBody(100, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      exchange->Respond({.status = 201,
                         .headers = {{"X-Name", "a\r\nb"}, {"Connection", "close"}},
                         .body = "got " + *body});
    });
  });
  Http2Peer peer(server_->address());
  Headers fields = Http2Peer::Post("/a?b=c");
  fields.Add("x-api-key", "k");
  fields.Add("authorization", " \tBearer k ");
  fields.Add("x-blank", " ");
  const Http2Peer::Answer answer = peer.Ask(1, fields, "body");
  EXPECT_EQ(answer.status, 201);
  EXPECT_EQ(answer.body, "got body");
  EXPECT_TRUE(answer.ended);
  EXPECT_FALSE(answer.reset.has_value());
  EXPECT_EQ(answer.headers.Get("x-name"), "a  b");
  EXPECT_EQ(answer.headers.Get("content-length"), "8");
  EXPECT_EQ(answer.headers.Get("x-request-id").size(), 32u);
  EXPECT_THAT(std::string(answer.headers.Get("date")), HasSubstr(" GMT"));
  EXPECT_FALSE(answer.headers.Has("connection"));
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, "/a?b=c");
  EXPECT_EQ(seen.http_version, 20);
  EXPECT_EQ(seen.headers.Get("host"), "x");
  EXPECT_EQ(seen.headers.Get("x-api-key"), "k");
  // As over HTTP/1.1, though RFC 9113 (8.2.1) would have such a request refused.
  EXPECT_EQ(seen.headers.Get("authorization"), "Bearer k");
  EXPECT_EQ(seen.headers.Get("x-blank"), "");
  EXPECT_EQ(seen.peer_address, "127.0.0.1");
  for (const Headers::Field field : seen.headers) EXPECT_NE(field.name[0], ':') << field.name;

  RawPeer old(server_->address());
  EXPECT_EQ(old.Ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").body, "got ");
}

TEST_F(Http2Test, TakesThePrefaceInParts) {
  const Running running = ServeEcho();
  RawPeer peer(server_->address());
  const std::string bytes = std::string(Http2Peer::kPreface) +
                            Http2Peer::Make(Http2Peer::kSettings, 0, 0, "") +
                            Http2Peer::Request(1, Http2Peer::Get("/"));
  for (const char byte : bytes) ASSERT_TRUE(peer.Send({&byte, 1}));
  std::string seen;
  while (seen.find("GET / ") == std::string::npos) {
    const std::string more = peer.ReadSome();
    ASSERT_FALSE(more.empty());
    seen += more;
  }
  RawPeer other(server_->address());
  EXPECT_EQ(other.Ask("PRI / HTTP/1.1\r\nHost: x\r\n\r\n").body, "PRI / ")
      << "a method like the preface's is HTTP/1.1";
}

TEST_F(Http2Test, AnswersStreamsAsTheyAreReadyInAnyOrder) {
  const Running running = ServeHeld();
  Http2Peer peer(server_->address());
  for (uint32_t stream : {1, 3, 5}) {
    peer.Send(Http2Peer::Request(stream, Http2Peer::Get("/" + std::to_string(stream))));
  }
  for (uint32_t stream : {5, 1, 3}) {
    Held("/" + std::to_string(stream))->Respond({.body = std::to_string(stream)});
    EXPECT_EQ(peer.ReadAnswer(stream).body, std::to_string(stream));
  }
  WaitForStats([](const ServerStats& stats) { return stats.requests_open == 0; });
  EXPECT_EQ(server_->stats().requests_started, 3u);
  EXPECT_EQ(server_->stats().requests_abandoned, 0u);
}

TEST_F(Http2Test, AnswersThatAreHeldGoOutTogether) {
  const Running running = ServeHeld();
  Http2Peer peer(server_->address());
  Promise<absl::Status> sent;
  peer.Send(Http2Peer::Request(1, Http2Peer::Get("/1")) +
            Http2Peer::Request(3, Http2Peer::Get("/3")));
  const std::shared_ptr<Exchange> first = Held("/1");
  const std::shared_ptr<Exchange> second = Held("/3");
  {
    const HeldWrites held;
    EXPECT_FALSE(first->over());
    EXPECT_FALSE(
        first->Respond({.body = "1"}, [&](absl::Status status) { sent.Set(std::move(status)); }));
    second->Respond({.body = "3"});
  }
  EXPECT_EQ(peer.ReadAnswer(1).body, "1");
  EXPECT_EQ(peer.ReadAnswer(3).body, "3");
  EXPECT_TRUE(sent.Wait().ok());
  EXPECT_TRUE(first->over());
}

TEST_F(Http2Test, AnAnswerWithoutBodyIsOneHeaderBlock) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.headers = {{"content-type", "application/grpc"},
                                   {"grpc-status", "12"},
                                   {"grpc-message", "no such method"}}});
  });
  Http2Peer peer(server_->address());
  const Http2Peer::Answer answer = peer.Ask(1, Http2Peer::Post("/x.Y/Z"), "");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.Get("grpc-status"), "12");
  EXPECT_FALSE(answer.headers.Has("content-length"));
  EXPECT_EQ(answer.frames, 1);
  EXPECT_TRUE(answer.ended);
}

TEST_F(Http2Test, SendsTrailersBehindWholeAndStreamedAnswers) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    const Headers trailers = {{"grpc-status", "0"}, {"Transfer-Encoding", "chunked"}};
    const std::string_view path = exchange->head().path();
    if (path == "/streamed") {
      exchange->StartResponse(200, {});
      exchange->Write("bo", nullptr);
      exchange->Write("", nullptr);
      exchange->Write("dy", nullptr);
      exchange->Finish(trailers);
    } else {
      exchange->Respond({.body = path == "/empty" ? "" : "body", .trailers = trailers});
    }
  });
  Http2Peer peer(server_->address());
  uint32_t stream = 1;
  for (const char* path : {"/", "/streamed", "/empty"}) {
    const Http2Peer::Answer answer = peer.Ask(stream, Http2Peer::Get(path));
    stream += 2;
    EXPECT_EQ(answer.body, std::string(path) == "/empty" ? "" : "body") << path;
    EXPECT_EQ(answer.trailers.Get("grpc-status"), "0") << path;
    EXPECT_EQ(answer.trailers.size(), 1u) << path;
    EXPECT_FALSE(answer.headers.Has("content-length")) << path;
    EXPECT_TRUE(answer.ended) << path;
  }
}

TEST_F(Http2Test, KeepsTheFormOfAnswersWithoutBody) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().path() == "/204") return exchange->Respond({.status = 204, .body = "no"});
    if (exchange->head().path() == "/stream") {
      exchange->StartResponse(200, {});
      exchange->Write("not for HEAD", nullptr);
      return exchange->Finish({{"not", "either"}});
    }
    exchange->Respond({.body = "length"});
  });
  Http2Peer peer(server_->address());
  Headers head = Http2Peer::Get("/");
  head.Set(":method", "HEAD");
  // Pseudo-fields come first.
  head = {{":method", "HEAD"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/"}};
  Http2Peer::Answer answer = peer.Ask(1, head);
  EXPECT_EQ(answer.headers.Get("content-length"), "6");
  EXPECT_EQ(answer.frames, 1);
  answer = peer.Ask(3, Http2Peer::Get("/204"));
  EXPECT_EQ(answer.status, 204);
  EXPECT_FALSE(answer.headers.Has("content-length"));
  EXPECT_EQ(answer.frames, 1);
  head.Set(":path", "/stream");
  answer = peer.Ask(5, head);
  EXPECT_EQ(answer.frames, 1);
  EXPECT_TRUE(answer.ended);
}

TEST_F(Http2Test, ReadsTheBodyWhileTheAnswerStreams) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->StartResponse(200, {});
    struct Loop {
      static void Read(std::shared_ptr<Exchange> exchange) {
        Exchange& asked = *exchange;
        asked.ReadSome([exchange = std::move(exchange)](absl::StatusOr<std::string> piece) {
          if (!piece.ok()) return;
          if (piece->empty()) return exchange->Finish({{"grpc-status", "0"}});
          exchange->Write("<" + *piece + ">", nullptr);
          Read(exchange);
        });
      }
    };
    Loop::Read(std::move(exchange));
  });
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, 1,
                            Http2Peer::Block(Http2Peer::Post("/"))));
  // Before a byte of the body has come.
  Http2Peer::Frame head = peer.Read();
  while (head.type != Http2Peer::kHeaders && !head.ended()) head = peer.Read();
  EXPECT_EQ(head.flags & Http2Peer::kEndStream, 0);
  for (const char* piece : {"one", "two"}) {
    peer.Send(Http2Peer::Make(Http2Peer::kData, 0, 1, piece));
    EXPECT_EQ(peer.Read().payload, "<" + std::string(piece) + ">");
  }
  peer.Send(Http2Peer::Make(Http2Peer::kData, Http2Peer::kEndStream, 1, "three"));
  const Http2Peer::Frame last = peer.Read();
  EXPECT_EQ(last.payload, "<three>");
  EXPECT_EQ(last.flags & Http2Peer::kEndStream, 0);
  EXPECT_EQ(peer.Read().type, Http2Peer::kHeaders);
}

TEST_F(Http2Test, TakesNoMoreOfABodyThanTheWindowUntilItIsRead) {
  options_.stream_window = 64 << 10;
  const Running running = ServeHeld();
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, 1,
                            Http2Peer::Block(Http2Peer::Post("/"))));
  // The protocol's first window, which holds until the server's settings are acknowledged.
  constexpr uint32_t kWindow = 65'535;
  for (uint32_t sent = 0; sent < kWindow;) {
    const std::string piece(std::min(16u << 10, kWindow - sent), 'a');
    peer.Send(Http2Peer::Make(Http2Peer::kData, 0, 1, piece));
    sent += static_cast<uint32_t>(piece.size());
  }
  const std::shared_ptr<Exchange> exchange = Held("/");
  const auto updates_of_stream = [&] {
    // A PING's answer comes behind all that was said before.
    peer.Send(Http2Peer::Make(Http2Peer::kPing, 0, 0, "12345678"));
    uint32_t bytes = 0;
    for (;;) {
      const Http2Peer::Frame frame = peer.Read();
      if (frame.ended() || frame.type == Http2Peer::kPing) return bytes;
      if (frame.type == Http2Peer::kWindowUpdate && frame.stream == 1) bytes += frame.number();
    }
  };
  EXPECT_EQ(updates_of_stream(), 0u) << "nobody has read";
  Promise<size_t> read;
  exchange->ReadSome(
      [&](absl::StatusOr<std::string> bytes) { read.Set(bytes.value_or("").size()); });
  EXPECT_EQ(read.Wait(), kWindow);
  EXPECT_EQ(updates_of_stream(), kWindow) << "as much again";
  exchange->Respond({});
}

TEST_F(Http2Test, TakesABodyLargerThanItsWindow) {
  options_.stream_window = 64 << 10;
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(8 << 20, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      exchange->Respond({.body = *std::move(body)});
    });
  });
  // curl keeps the windows as a client must.
  std::string body(3 << 20, 'a');
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7 % 251);
  const TempDir dir;
  const std::string in = dir / "in", out = dir / "out";
  std::ofstream(in, std::ios::binary) << body;
  const std::string command =
      "curl -sS --max-time 60 --http2-prior-knowledge -H 'Expect:' -X POST "
      "--data-binary @" +
      in + " -o " + out + " http://" + server_->address() + "/";
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::ifstream file(out, std::ios::binary);
  EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(file), {}) == body);
}

TEST_F(Http2Test, SendsContinueWhenTheBodyIsWanted) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().path() == "/no") return exchange->Respond({.status = 403});
    Exchange& asked = *exchange;
    asked.ReadBody(100, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      exchange->Respond({.body = body.value_or("?")});
    });
  });
  Http2Peer peer(server_->address());
  const auto start = [](uint32_t stream, std::string_view path, std::string_view expect) {
    Headers fields = Http2Peer::Post(path);
    fields.Add("expect", expect);
    return Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, stream,
                           Http2Peer::Block(fields));
  };
  peer.Send(start(1, "/yes", "100-continue"));
  Http2Peer::Frame frame = peer.Read();
  while (frame.type != Http2Peer::kHeaders && !frame.ended()) frame = peer.Read();
  EXPECT_EQ(frame.flags & Http2Peer::kEndStream, 0);
  peer.Send(Http2Peer::Make(Http2Peer::kData, Http2Peer::kEndStream, 1, "abc"));
  EXPECT_EQ(peer.ReadAnswer(1).body, "abc");
  peer.Send(start(3, "/no", "100-continue"));
  EXPECT_EQ(peer.ReadAnswer(3).status, 403);
  peer.Send(start(5, "/yes", "miracles"));
  EXPECT_EQ(peer.ReadAnswer(5).status, 417);
}

TEST_F(Http2Test, ResetsWithoutErrorWhenTheAnswerNeedsNoBody) {
  const Running running =
      Serve([](std::shared_ptr<Exchange> exchange) { exchange->Respond({.status = 401}); });
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, 1,
                            Http2Peer::Block(Http2Peer::Post("/"))));
  EXPECT_EQ(peer.ReadAnswer(1).status, 401);
  EXPECT_EQ(peer.ReadAnswer(1).reset, kNoError);
  EXPECT_EQ(peer.Ask(3, Http2Peer::Get("/")).status, 401) << "the connection goes on";
}

TEST_F(Http2Test, TellsTheHandlerWhenItsStreamIsReset) {
  const Running running = ServeHeld();
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, 1,
                            Http2Peer::Block(Http2Peer::Post("/1"))) +
            Http2Peer::Request(3, Http2Peer::Get("/3")));
  const std::shared_ptr<Exchange> reset = Held("/1");
  const std::shared_ptr<Exchange> other = Held("/3");
  Promise<bool> cancelled, not_cancelled;
  Promise<absl::Status> read, written;
  reset->OnCancel([&] { cancelled.Set(true); });
  other->OnCancel([&] { not_cancelled.Set(true); });
  reset->ReadSome([&](absl::StatusOr<std::string> body) { read.Set(body.status()); });
  peer.Send(Http2Peer::Make(Http2Peer::kReset, 0, 1, Http2Peer::Number(kCancel)));
  EXPECT_TRUE(cancelled.Wait());
  EXPECT_EQ(read.Wait().code(), absl::StatusCode::kCancelled);
  reset->StartResponse(200, {});
  reset->Write("late", [&](absl::Status status) { written.Set(std::move(status)); });
  EXPECT_EQ(written.Wait().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(server_->stats().requests_abandoned, 1u);
  EXPECT_EQ(server_->stats().requests_open, 1u);
  other->Respond({.body = "3"});
  EXPECT_EQ(peer.ReadAnswer(3).body, "3");
  EXPECT_EQ(not_cancelled.times(), 0);
}

TEST_F(Http2Test, TellsAllHandlersWhenTheConnectionIsLost) {
  const Running running = ServeHeld();
  auto peer = std::make_unique<Http2Peer>(server_->address());
  peer->Send(Http2Peer::Request(1, Http2Peer::Get("/1")) +
             Http2Peer::Request(3, Http2Peer::Get("/3")));
  const std::vector<std::shared_ptr<Exchange>> exchanges = {Held("/1"), Held("/3")};
  Promise<bool> cancelled[2];
  for (int i : {0, 1}) exchanges[i]->OnCancel([&, i] { cancelled[i].Set(true); });
  peer.reset();
  for (Promise<bool>& each : cancelled) EXPECT_TRUE(each.Wait());
  for (const auto& exchange : exchanges) exchange->Respond({.body = "to nobody"});
  WaitForStats([](const ServerStats& stats) { return stats.connections_open == 0; });
  EXPECT_EQ(server_->stats().requests_abandoned, 2u);
}

TEST_F(Http2Test, AnExchangeThatIsDroppedAnswers500OrIsCut) {
  const Running running = ServeHeld();
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Request(1, Http2Peer::Get("/1")) +
            Http2Peer::Request(3, Http2Peer::Get("/3")) +
            Http2Peer::Request(5, Http2Peer::Get("/5")));
  Held("/1").reset();
  const Http2Peer::Answer answer = peer.ReadAnswer(1);
  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("internal"));
  {
    const std::shared_ptr<Exchange> begun = Held("/3");
    begun->StartResponse(200, {});
    begun->Write("half", nullptr);
  }
  EXPECT_EQ(peer.ReadAnswer(3).reset, kInternalError);
  const std::shared_ptr<Exchange> announced = Held("/5");
  announced->StartResponse(200, {{"content-length", "3"}});
  announced->Write("four", nullptr);
  EXPECT_EQ(peer.ReadAnswer(5).reset, kInternalError) << "more than it said";
}

TEST_F(Http2Test, TellsWhenThePeerHasTakenAPiece) {
  const Running running = ServeHeld();
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Request(1, Http2Peer::Get("/")));
  const std::shared_ptr<Exchange> exchange = Held("/");
  exchange->StartResponse(200, {});
  Promise<absl::Status> small, large;
  exchange->Write("small", [&](absl::Status status) { small.Set(std::move(status)); });
  EXPECT_TRUE(small.Wait().ok());
  // More than the protocol's first window of 65,535 bytes.
  exchange->Write(std::string(100'000, 'x'),
                  [&](absl::Status status) { large.Set(std::move(status)); });
  EXPECT_FALSE(large.WaitFor(milliseconds(100))) << "the window is closed";
  exchange->Finish();
  EXPECT_EQ(peer.ReadAnswer(1).body.size(), 100'005u);
  EXPECT_TRUE(large.Wait().ok());
}

TEST_F(Http2Test, RespondTellsWhenItsAnswerIsTaken) {
  const Running running = ServeHeld();
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Request(1, Http2Peer::Get("/small")) +
            Http2Peer::Request(3, Http2Peer::Get("/large")));
  Promise<absl::Status> small, large;
  // At once, or by the I/O thread where that is about to send.
  if (Held("/small")->Respond({.body = "x"},
                              [&](absl::Status status) { small.Set(std::move(status)); })) {
    small.Set(absl::OkStatus());
  }
  EXPECT_TRUE(small.Wait().ok());
  EXPECT_FALSE(Held("/large")->Respond({.body = std::string(100'000, 'x')},
                                       [&](absl::Status status) { large.Set(std::move(status)); }));
  EXPECT_FALSE(large.WaitFor(milliseconds(100)));
  EXPECT_EQ(peer.ReadAnswer(3).body.size(), 100'000u);
  EXPECT_TRUE(large.Wait().ok());
  EXPECT_EQ(small.times() + large.times(), 2);
}

TEST_F(Http2Test, LargeAnswersOfOneConnectionTakeTurns) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.body = std::string(200'000, exchange->head().target[1])});
  });
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Make(Http2Peer::kSettings, 0, 0,
                            std::string("\0\4", 2) + Http2Peer::Number(1 << 20)) +
            Http2Peer::Make(Http2Peer::kWindowUpdate, 0, 0, Http2Peer::Number(1 << 20)) +
            Http2Peer::Request(1, Http2Peer::Get("/a")) +
            Http2Peer::Request(3, Http2Peer::Get("/b")));
  std::string order;
  for (int ended = 0; ended < 2;) {
    const Http2Peer::Frame frame = peer.Read();
    ASSERT_FALSE(frame.ended());
    if (frame.type != Http2Peer::kData) continue;
    if (order.empty() || order.back() != frame.payload[0]) order += frame.payload[0];
    if ((frame.flags & Http2Peer::kEndStream) != 0) ++ended;
  }
  EXPECT_GT(order.size(), 4u) << order;
}

TEST_F(Http2Test, DrainsWhatIsInFlight) {
  const Running running = ServeHeld();
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Request(1, Http2Peer::Get("/1")));
  const std::shared_ptr<Exchange> exchange = Held("/1");
  Promise<int> broken;
  std::jthread draining([&] { broken.Set(server_->Drain(absl::Seconds(20))); });
  // A notice that leaves room for requests on their way, then the last stream's number.
  Http2Peer::Frame frame = peer.Read();
  std::vector<uint32_t> last;
  while (last.size() < 2) {
    frame = peer.Read();
    ASSERT_FALSE(frame.ended());
    if (frame.type == Http2Peer::kGoAway) last.push_back(frame.number());
  }
  EXPECT_THAT(last, ::testing::ElementsAre(0x7fffffffu, 1u));
  EXPECT_FALSE(broken.WaitFor(milliseconds(50)));
  exchange->Respond({.body = "in flight"});
  EXPECT_EQ(peer.ReadAnswer(1).body, "in flight");
  EXPECT_EQ(peer.ReadGoAway(), std::nullopt) << "and the connection ends";
  peer.raw().Close();
  EXPECT_EQ(broken.Wait(), 0);
}

TEST_F(Http2Test, ADrainBreaksWhatDoesNotEndInTime) {
  const Running running = ServeHeld();
  Http2Peer peer(server_->address());
  peer.Send(Http2Peer::Request(1, Http2Peer::Get("/1")) +
            Http2Peer::Request(3, Http2Peer::Get("/3")));
  const std::vector<std::shared_ptr<Exchange>> exchanges = {Held("/1"), Held("/3")};
  Promise<bool> cancelled;
  exchanges[0]->OnCancel([&] { cancelled.Set(true); });
  EXPECT_EQ(server_->Drain(absl::Milliseconds(50)), 2);
  EXPECT_TRUE(cancelled.Wait());
}

TEST_F(Http2Test, ManyThreadsAnswerManyStreams) {
  options_.threads = 2;
  Mutex mutex;
  CondVar more;
  std::vector<std::shared_ptr<Exchange>> waiting;
  bool ended = false;
  std::vector<std::jthread> threads;  // last: they use the rest until they end
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (;;) {
        std::shared_ptr<Exchange> exchange;
        {
          MutexLock lock(mutex);
          while (waiting.empty() && !ended) more.Wait(mutex);
          if (waiting.empty()) return;
          exchange = std::move(waiting.back());
          waiting.pop_back();
        }
        absl::StatusOr<std::string> body = ReadBodyBlocking(*exchange, 1 << 20);
        if (!body.ok()) continue;
        exchange->StartResponse(200, {});
        EXPECT_TRUE(WriteBlocking(*exchange, *body).ok());
        exchange->Finish({{"grpc-status", "0"}});
      }
    });
  }
  {
    const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
      MutexLock lock(mutex);
      waiting.push_back(std::move(exchange));
      more.Signal();
    });
    Http2Peer peers[2] = {Http2Peer(server_->address()), Http2Peer(server_->address())};
    for (uint32_t stream = 1; stream < 400; stream += 2) {
      for (Http2Peer& peer : peers) {
        peer.Send(Http2Peer::Request(stream, Http2Peer::Post("/"), std::to_string(stream)));
      }
      if (stream % 40 != 39) continue;
      for (Http2Peer& peer : peers) {
        for (uint32_t each = stream - 38; each <= stream; each += 2) {
          const Http2Peer::Answer answer = peer.ReadAnswer(each);
          EXPECT_EQ(answer.body, std::to_string(each));
          EXPECT_EQ(answer.trailers.Get("grpc-status"), "0");
        }
      }
    }
  }
  {
    MutexLock lock(mutex);
    ended = true;
    more.SignalAll();
  }
}

}  // namespace
}  // namespace slipway::http
