// What well-formed requests get: framing, order, streams, and how many bytes and writes it takes.

#include <gmock/gmock.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/integration/http/server_fixture.h"

namespace slipway::http {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::StartsWith;

using ServerRequestsTest = ServerTest;

constexpr char kGet[] = "GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n";

TEST_F(ServerRequestsTest, AnswersWithLengthDateTypeAndItsOwnRequestId) {
  const Running running = ServeEcho();
  RawPeer peer(server_->address());
  const RawPeer::Answer answer = peer.Ask(
      "POST /p HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\nContent-Length: 5\r\n\r\nhello");
  EXPECT_EQ(answer.status_line, "HTTP/1.1 200 OK");
  EXPECT_EQ(answer.body, "POST /p hello");
  EXPECT_THAT(std::string(answer.headers.Get("x-request-id")), MatchesRegex("[0-9a-f]{32}"));
  EXPECT_THAT(std::string(answer.headers.Get("date")),
              MatchesRegex("(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} [A-Z][a-z]{2} 20[0-9]{2} "
                           "[0-9]{2}:[0-9]{2}:[0-9]{2} GMT"));
  EXPECT_FALSE(answer.headers.Has("connection"));
}

TEST_F(ServerRequestsTest, GivesTheHandlerTheHeadAsItWasSent) {
  Promise<std::string> seen;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    const RequestHead& head = exchange->head();
    seen.Set(head.method + "|" + std::string(head.path()) + "|" + std::string(head.query()) + "|" +
             std::string(head.headers.Get("X-A")) + "|" + head.peer_address + "|" +
             std::to_string(head.headers.All("x-b").size()));
    exchange->Respond({});
  });
  RawPeer peer(server_->address());
  peer.Ask(
      "PATCH /a%2Fb/../c?d=%zz?e HTTP/1.1\r\nhost: x\r\nx-a:  v w \r\nx-b: 1\r\nX-B: 2\r\n\r\n");
  EXPECT_EQ(seen.Wait(), "PATCH|/a%2Fb/../c|d=%zz?e|v w|127.0.0.1|2");
}

TEST_F(ServerRequestsTest, SendsHeadAndBodyInOneSegment) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.body = std::string(30'000, 'x')});
  });
  RawPeer peer(server_->address());
  for (int i = 1; i <= 5; ++i) {
    EXPECT_EQ(peer.Ask(kGet).body.size(), 30'000u);
    EXPECT_EQ(peer.DataSegmentsReceived(), i);
  }
}

TEST_F(ServerRequestsTest, KeepsTheConnectionForTheNextRequest) {
  const Running running = ServeEcho();
  RawPeer peer(server_->address());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(peer.Ask(kGet).body, "GET /a?b=c ");
  EXPECT_EQ(server_->stats().connections_accepted, 1u);
  EXPECT_EQ(server_->stats().requests_started, 100u);
}

TEST_F(ServerRequestsTest, ClosesAfterTheAnswerWhenEitherSideAsksForIt) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    Response response;
    if (exchange->head().target == "/close") response.headers.Add("Connection", "close");
    exchange->Respond(std::move(response));
  });
  for (const char* request : {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                              "GET /close HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"}) {
    RawPeer peer(server_->address());
    const RawPeer::Answer answer = peer.Ask(request);
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.Get("connection"), "close") << request;
    EXPECT_TRUE(peer.IsClosedWithin(std::chrono::seconds(5))) << request;
  }
  RawPeer old(server_->address());
  for (int i = 0; i < 2; ++i) {
    const RawPeer::Answer answer = old.Ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_EQ(answer.headers.Get("connection"), "keep-alive");
  }
}

TEST_F(ServerRequestsTest, AnswersPipelinedRequestsInTheirOrder) {
  // The first is answered last: its exchange is kept until the third could have been answered.
  Promise<std::shared_ptr<Exchange>> first;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().target == "/1") {
      first.Set(std::move(exchange));
    } else {
      exchange->Respond({.body = exchange->head().target});
    }
  });
  RawPeer peer(server_->address());
  std::string all;
  for (int i = 1; i <= 50; ++i) {
    all += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: x\r\n\r\n";
  }
  peer.Send(all);
  const std::shared_ptr<Exchange> held = first.Wait();
  EXPECT_TRUE(peer.IsQuietFor(std::chrono::milliseconds(50)));
  held->Respond({.body = "/1"});
  for (int i = 1; i <= 50; ++i) EXPECT_EQ(peer.Read().body, "/" + std::to_string(i));
}

TEST_F(ServerRequestsTest, TakesNoMoreOfAPipelineThanOneBuffer) {
  Promise<std::shared_ptr<Exchange>> first;
  const Running running =
      Serve([&](std::shared_ptr<Exchange> exchange) { first.Set(std::move(exchange)); });
  RawPeer peer(server_->address());
  peer.Send(kGet);
  first.Wait();
  const std::string more(1 << 20, 'x');
  size_t sent = 0;
  Promise<bool> never;
  for (int quiet = 0; quiet < 20;) {
    const size_t now = peer.SendWithoutWaiting(more);
    sent += now;
    quiet = now == 0 ? quiet + 1 : 0;
    if (now == 0) never.WaitFor(std::chrono::milliseconds(2));
  }
  EXPECT_GT(sent, 100'000u) << "the kernel's buffers take that much";
  EXPECT_LT(server_->stats().bytes_read, 8'000u);
  first.Wait()->Respond({});
}

TEST_F(ServerRequestsTest, ReadsARequestThatComesByteByByte) {
  const Running running = ServeEcho();
  RawPeer peer(server_->address());
  const std::string request =
      "\r\nPOST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3;ext=\"a b\"\r\nabc\r\n00A\r\n0123456789\r\n0\r\nTrailer: gone\r\n\r\n";
  for (const char byte : request) peer.Send({&byte, 1});
  EXPECT_EQ(peer.Read().body, "POST /x abc0123456789");
  EXPECT_EQ(peer.Ask(kGet).status, 200) << "and knows where it ended";
}

TEST_F(ServerRequestsTest, SendsContinueOnlyWhenTheBodyIsWanted) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().target == "/no") return exchange->Respond({.status = 403});
    Exchange& asked = *exchange;
    asked.ReadBody(100, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      exchange->Respond({.body = body.value_or("?")});
    });
  });
  const std::string rest =
      " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n";
  RawPeer peer(server_->address());
  EXPECT_EQ(peer.Ask("PUT /yes" + rest).status, 100);
  EXPECT_EQ(peer.Ask("abc").body, "abc");
  // Not waiting for it is allowed: then it is not sent.
  EXPECT_EQ(peer.Ask("PUT /yes" + rest + "abc").body, "abc");
  // After another answer nobody knows whether the body comes: the connection ends.
  const RawPeer::Answer refused = peer.Ask("PUT /no" + rest);
  EXPECT_EQ(refused.status, 403);
  EXPECT_EQ(refused.headers.Get("connection"), "close");
}

TEST_F(ServerRequestsTest, ReadsOverASmallBodyThatNobodyWanted) {
  const Running running =
      Serve([](std::shared_ptr<Exchange> exchange) { exchange->Respond({.status = 401}); });
  RawPeer peer(server_->address());
  // The body comes in pieces, the last of them with the next request behind it.
  EXPECT_EQ(peer.Ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nab").status, 401);
  peer.Send("cd");
  EXPECT_EQ(peer.Ask("efGET / HTTP/1.1\r\nHost: x\r\n\r\n").status, 401);
  const RawPeer::Answer large =
      peer.Ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nab");
  EXPECT_EQ(large.status, 401);
  EXPECT_EQ(large.headers.Get("connection"), "close");
}

TEST_F(ServerRequestsTest, DeliversAnAnswerToAPeerThatIsStillSending) {
  // Closing with unread input resets the connection, and takes the answer along.
  const Running running =
      Serve([](std::shared_ptr<Exchange> exchange) { exchange->Respond({.status = 401}); });
  RawPeer peer(server_->address());
  peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n");
  EXPECT_TRUE(peer.Send(std::string(4'000'000, 'x')));
  EXPECT_EQ(peer.Read().status, 401);
  EXPECT_TRUE(peer.IsClosedWithin(std::chrono::seconds(5)));
}

TEST_F(ServerRequestsTest, AnswersHeadWithoutABody) {
  const Running running =
      Serve([](std::shared_ptr<Exchange> exchange) { exchange->Respond({.body = "12345"}); });
  RawPeer peer(server_->address());
  peer.Send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
  const RawPeer::Answer answer = peer.Read(/*to_head=*/true);
  EXPECT_EQ(answer.headers.Get("content-length"), "5");
  EXPECT_EQ(peer.Ask(kGet).body, "12345") << "nothing stood in between";
}

TEST_F(ServerRequestsTest, GivesNoLengthToAnAnswerThatHasNoBody) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.status = 204, .body = "must not be sent"});
  });
  RawPeer peer(server_->address());
  EXPECT_FALSE(peer.Ask(kGet).headers.Has("content-length"));
  EXPECT_EQ(peer.Ask(kGet).status_line, "HTTP/1.1 204 No Content");
}

TEST_F(ServerRequestsTest, LetsNoValueStartAFieldOfItsOwn) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.headers = {{"X-Name", "a\r\nSet-Cookie: evil\r\n\r\nbody"},
                                   {"Bad Name", "x"},
                                   {"Content-Length", "7"},
                                   {"Transfer-Encoding", "chunked"}},
                       .body = "body"});
  });
  RawPeer peer(server_->address());
  const RawPeer::Answer answer = peer.Ask(kGet);
  EXPECT_EQ(answer.headers.Get("x-name"), "a  Set-Cookie: evil    body");
  EXPECT_FALSE(answer.headers.Has("set-cookie"));
  EXPECT_FALSE(answer.headers.Has("bad name"));
  EXPECT_EQ(answer.headers.All("content-length").size(), 1u);
  EXPECT_FALSE(answer.headers.Has("transfer-encoding"));
  EXPECT_EQ(answer.body, "body");
}

TEST_F(ServerRequestsTest, SendsTrailersBehindAWholeAnswer) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.headers = {{"content-type", "application/grpc"}},
                       .body = exchange->head().target == "/empty" ? "" : "body",
                       .trailers = {{"grpc-status", "0"}, {"Content-Length", "9"}}});
  });
  RawPeer peer(server_->address());
  for (const char* target : {"/", "/empty"}) {
    const RawPeer::Answer answer =
        peer.Ask(std::string("GET ") + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(answer.headers.Get("transfer-encoding"), "chunked");
    EXPECT_FALSE(answer.headers.Has("content-length"));
    EXPECT_EQ(answer.body, target[1] == 0 ? "body" : "");
    EXPECT_EQ(answer.trailers.Get("grpc-status"), "0");
    EXPECT_EQ(answer.trailers.size(), 1u);
    EXPECT_TRUE(answer.complete);
  }
  const RawPeer::Answer old = peer.Ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(old.body, "body");
  EXPECT_EQ(old.headers.Get("content-length"), "4");
}

TEST_F(ServerRequestsTest, ReadsTheBodyWhileTheAnswerStreams) {
  // Each piece goes back as it comes: a bidirectional stream.
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->StartResponse(200, {});
    struct Loop {
      static void Read(std::shared_ptr<Exchange> exchange) {
        Exchange& asked = *exchange;
        asked.ReadSome([exchange = std::move(exchange)](absl::StatusOr<std::string> piece) {
          if (!piece.ok()) return;
          if (piece->empty()) return exchange->Finish({{"end", "yes"}});
          exchange->Write(*std::move(piece), nullptr);
          Read(exchange);
        });
      }
    };
    Loop::Read(std::move(exchange));
  });
  RawPeer peer(server_->address());
  peer.Send("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  std::string seen;
  for (const char* piece : {"one", "two"}) {
    peer.Send(std::string("3\r\n") + piece + "\r\n");
    while (seen.find(std::string("3\r\n") + piece + "\r\n") == std::string::npos) {
      const std::string more = peer.ReadSome();
      ASSERT_FALSE(more.empty());
      seen += more;
    }
  }
  peer.Send("0\r\n\r\n");
  while (seen.find("0\r\nend: yes\r\n\r\n") == std::string::npos) {
    const std::string more = peer.ReadSome();
    ASSERT_FALSE(more.empty()) << seen;
    seen += more;
  }
}

TEST_F(ServerRequestsTest, StreamsAnAnswerInChunksAsTheyAreMade) {
  Promise<std::shared_ptr<Exchange>> started;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().target == "/again") {
      exchange->Respond({.body = "again"});
    } else {
      started.Set(std::move(exchange));
    }
  });
  RawPeer peer(server_->address());
  peer.Send(kGet);
  const std::shared_ptr<Exchange> exchange = started.Wait();
  exchange->StartResponse(200, {{"content-type", "text/event-stream"}});
  for (const char* event : {"one", "two"}) {
    Promise<absl::Status> sent;
    exchange->Write(event, [&](absl::Status status) { sent.Set(status); });
    EXPECT_TRUE(sent.Wait().ok());
  }
  exchange->Write("", nullptr);  // must not end the body
  exchange->Write(std::string(100'000, 'x'), nullptr);
  exchange->Finish({{"grpc-status", "0"}});
  const RawPeer::Answer answer = peer.Read();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body, "onetwo" + std::string(100'000, 'x'));
  EXPECT_EQ(answer.trailers.Get("grpc-status"), "0");
  EXPECT_EQ(peer.Ask("GET /again HTTP/1.1\r\nhost: x\r\n\r\n").body, "again");
}

TEST_F(ServerRequestsTest, StreamsAnAnswerOfAKnownLength) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->StartResponse(200, {{"Content-Length", "6"}});
    exchange->Write("abc", nullptr);
    exchange->Write("def", nullptr);
    exchange->Finish();
  });
  RawPeer peer(server_->address());
  EXPECT_EQ(peer.Ask(kGet).body, "abcdef");
  EXPECT_EQ(peer.Ask(kGet).body, "abcdef");
}

TEST_F(ServerRequestsTest, ShowsThePeerThatAStreamBrokeOff) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    const std::string target = exchange->head().target;
    if (target == "/too-few" || target == "/too-many") {
      exchange->StartResponse(200, {{"Content-Length", "4"}});
      exchange->Write(target == "/too-few" ? "abc" : "abcde", nullptr);
      exchange->Finish();
    } else {
      exchange->StartResponse(200, {});
      exchange->Write("abc", nullptr);
    }  // and is dropped
  });
  for (const char* target : {"/too-few", "/too-many", "/dropped"}) {
    RawPeer peer(server_->address());
    const RawPeer::Answer answer =
        peer.Ask(std::string("GET ") + target + " HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_FALSE(answer.complete) << target;
    EXPECT_TRUE(peer.IsClosedWithin(std::chrono::seconds(5))) << target;
  }
}

TEST_F(ServerRequestsTest, EndsAStreamToAnOldPeerWithTheConnection) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->StartResponse(200, {});
    exchange->Write("abc", nullptr);
    exchange->Finish();
  });
  RawPeer peer(server_->address());
  const RawPeer::Answer answer = peer.Ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_FALSE(answer.headers.Has("transfer-encoding"));
  EXPECT_EQ(answer.body, "abc");
  EXPECT_TRUE(answer.complete);
}

TEST_F(ServerRequestsTest, AnswersAnExchangeThatWasDroppedWith500) {
  const Running running = Serve([](std::shared_ptr<Exchange>) {});
  RawPeer peer(server_->address());
  const RawPeer::Answer answer = peer.Ask(kGet);
  EXPECT_EQ(answer.status, 500);
  EXPECT_EQ(answer.body,
            "{\"error\":{\"code\":\"internal\",\"message\":\"the request could not be "
            "answered\",\"request_id\":\"" +
                std::string(answer.headers.Get("x-request-id")) + "\"}}");
  EXPECT_EQ(peer.Ask(kGet).status, 500) << "the connection goes on";
}

TEST_F(ServerRequestsTest, LetsTheOwnerOfTheErrorFormRenderIt) {
  options_.render_error = [](const ServerError& error) {
    return Response{.status = error.status,
                    .body = std::string(error.code) + (error.head ? error.head->target : "-")};
  };
  const Running running = Serve([](std::shared_ptr<Exchange>) {});
  EXPECT_EQ(RawPeer(server_->address()).Ask(kGet).body, "internal/a?b=c");
  EXPECT_EQ(RawPeer(server_->address()).Ask("nonsense\r\n\r\n").body, "malformed-");
}

TEST_F(ServerRequestsTest, CountsOnlyTheFirstAnswer) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.body = "first"});
    exchange->Respond({.body = "second"});
    exchange->StartResponse(200, {});
    exchange->Write("third", nullptr);
    exchange->Finish();
  });
  RawPeer peer(server_->address());
  EXPECT_EQ(peer.Ask(kGet).body, "first");
  EXPECT_EQ(peer.Ask(kGet).body, "first");
}

TEST_F(ServerRequestsTest, TellsAtOnceWhenTheKernelHasTheAnswer) {
  Promise<bool> taken;
  std::atomic<bool> called = false;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    taken.Set(exchange->Respond({.body = "small"}, [&](absl::Status) { called = true; }));
  });
  RawPeer peer(server_->address());
  EXPECT_EQ(peer.Ask(kGet).body, "small");
  EXPECT_TRUE(taken.Wait());
  EXPECT_FALSE(called);
}

TEST_F(ServerRequestsTest, TellsLaterWhenThePeerHasToReadFirst) {
  Promise<absl::Status> later;
  Promise<bool> taken;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    taken.Set(exchange->Respond({.body = std::string(32 << 20, 'x')},
                                [&](absl::Status status) { later.Set(std::move(status)); }));
  });
  RawPeer peer(server_->address());
  peer.Send(kGet);
  EXPECT_FALSE(taken.Wait());
  EXPECT_EQ(later.times(), 0);
  EXPECT_EQ(peer.Read().body.size(), size_t{32} << 20);
  EXPECT_TRUE(later.Wait().ok());
}

TEST_F(ServerRequestsTest, TellsThatThePeerLeftBeforeTheEndOfItsAnswer) {
  Promise<absl::Status> later;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.body = std::string(32 << 20, 'x')},
                      [&](absl::Status status) { later.Set(std::move(status)); });
  });
  {
    RawPeer peer(server_->address());
    peer.Send(kGet);
    WaitForStats([](const ServerStats& stats) { return stats.bytes_written > 0; });
  }
  EXPECT_EQ(later.Wait().code(), absl::StatusCode::kCancelled);
}

TEST_F(ServerRequestsTest, ReadsABodyPieceByPiece) {
  Promise<std::shared_ptr<Exchange>> started;
  const Running running =
      Serve([&](std::shared_ptr<Exchange> exchange) { started.Set(std::move(exchange)); });
  RawPeer peer(server_->address());
  peer.Send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc");
  const std::shared_ptr<Exchange> exchange = started.Wait();
  EXPECT_EQ(*ReadSomeBlocking(*exchange), "abc");
  peer.Send("def");
  EXPECT_EQ(*ReadSomeBlocking(*exchange), "def");
  EXPECT_EQ(*ReadSomeBlocking(*exchange), "");
  EXPECT_EQ(*ReadSomeBlocking(*exchange), "") << "the end stays the end";
  exchange->Respond({.body = "done"});
  EXPECT_EQ(peer.Read().body, "done");
}

TEST_F(ServerRequestsTest, GivesTheReaderOfAnAnsweredExchangeItsCallback) {
  Promise<absl::Status> after;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({});
    exchange->ReadBody(10, [&](absl::StatusOr<std::string> body) { after.Set(body.status()); });
  });
  RawPeer peer(server_->address());
  peer.Ask(kGet);
  EXPECT_EQ(after.Wait().code(), absl::StatusCode::kCancelled);
}

TEST_F(ServerRequestsTest, SurvivesAnyNumberOfWritesFromTheirOwnCallbacks) {
  // Each Write is made in the callback of the one before; were callbacks run inside the call, the
  // stack would end long before the stream does.
  struct Stream : std::enable_shared_from_this<Stream> {
    std::shared_ptr<Exchange> exchange;
    int left = 200'000;
    void Next() {
      if (left-- == 0) return exchange->Finish();
      exchange->Write("x", [self = shared_from_this()](absl::Status status) {
        if (status.ok()) self->Next();
      });
    }
  };
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    auto stream = std::make_shared<Stream>();
    exchange->StartResponse(200, {{"content-length", "200000"}});
    stream->exchange = std::move(exchange);
    stream->Next();
  });
  RawPeer peer(server_->address());
  const RawPeer::Answer answer = peer.Ask(kGet);
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.body.size(), 200'000u);
}

TEST_F(ServerRequestsTest, TakesAnswersFromAnyThreadWhileOthersComeIn) {
  options_.threads = 2;
  // Every request is answered by one of three threads, in whatever order they come to it.
  Mutex mutex;
  CondVar changed;
  std::vector<std::shared_ptr<Exchange>> queue;
  bool stop = false;
  const auto answer_all = [&] {
    for (;;) {
      std::shared_ptr<Exchange> exchange;
      {
        MutexLock lock(mutex);
        while (queue.empty() && !stop) changed.Wait(mutex);
        if (queue.empty()) return;
        exchange = std::move(queue.back());
        queue.pop_back();
      }
      const absl::StatusOr<std::string> body = ReadBodyBlocking(*exchange, 100);
      if (body.ok()) exchange->Respond({.body = *body});
    }
  };
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    MutexLock lock(mutex);
    queue.push_back(std::move(exchange));
    changed.Signal();
  });
  {
    std::vector<std::jthread> answering;
    for (int i = 0; i < 3; ++i) answering.emplace_back(answer_all);
    {
      std::vector<std::jthread> asking;
      for (int caller = 0; caller < 8; ++caller) {
        asking.emplace_back([&, caller] {
          RawPeer peer(server_->address());
          for (int i = 0; i < 200; ++i) {
            const std::string body = std::to_string(caller * 1000 + i);
            EXPECT_EQ(peer.Ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " +
                               std::to_string(body.size()) + "\r\n\r\n" + body)
                          .body,
                      body);
          }
        });
      }
    }
    MutexLock lock(mutex);
    stop = true;
    changed.SignalAll();
  }
  EXPECT_EQ(server_->stats().requests_started, 1600u);
  WaitForStats([](const ServerStats& stats) { return stats.requests_open == 0; });
}

}  // namespace
}  // namespace slipway::http
