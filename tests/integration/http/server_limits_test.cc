// What a peer may take: bytes, time and connections. Time-outs are set short; the tests wait on
// the socket.

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/integration/http/server_fixture.h"
#include "tests/support/temp_dir.h"

namespace slipway::http {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr char kGet[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr milliseconds kSoon{5000};  // well above any time-out here, well below the defaults

class ServerLimitsTest : public ServerTest {
 protected:
  ServerLimitsTest() {
    // Each test shortens the one it is about; the others must not be what ends a connection.
    options_.header_timeout = options_.stall_timeout = options_.idle_timeout =
        options_.total_timeout = absl::Seconds(60);
  }
};

TEST_F(ServerLimitsTest, TakesAHeaderUpToItsLimitAndNoMore) {
  const Running running = ServeEcho();
  const std::string start = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
  const std::string end = "\r\n\r\n";
  const size_t room = options_.max_header_bytes - start.size() - end.size();
  RawPeer fits(server_->address());
  EXPECT_EQ(fits.Ask(start + std::string(room, 'a') + end).status, 200);
  RawPeer over(server_->address());
  const RawPeer::Answer answer = over.Ask(start + std::string(room + 1, 'a') + end);
  EXPECT_EQ(answer.status, 431);
  EXPECT_THAT(answer.body, HasSubstr("header_too_large"));
  EXPECT_TRUE(over.IsClosedWithin(kSoon));
  EXPECT_EQ(Refused(Refusal::kHeaderTooLarge), 1u);
}

TEST_F(ServerLimitsTest, RefusesAnEndlessHeaderWhileItComes) {
  const Running running = ServeEcho();
  RawPeer line(server_->address());
  line.Send("GET /" + std::string(40'000, 'a'));
  EXPECT_EQ(line.Read().status, 431);
  RawPeer fields(server_->address());
  std::string many = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 10'000; ++i) many += "a: b\r\n";
  fields.Send(many);
  EXPECT_EQ(fields.Read().status, 431);
  RawPeer small_fields(server_->address());
  many = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (int i = 0; i < 300; ++i) many += "a: b\r\n";
  EXPECT_EQ(small_fields.Ask(many + "\r\n").status, 431) << "few bytes, too many fields";
}

TEST_F(ServerLimitsTest, RefusesABodyByItsLengthBeforeItComes) {
  options_.max_body_bytes = 1000;
  Promise<absl::Status> read;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadSome([&, exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      read.Set(body.status());
    });
  });
  RawPeer peer(server_->address());
  const RawPeer::Answer answer = peer.Ask(
      "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1001\r\n\r\n");
  EXPECT_EQ(answer.status, 413) << "and no 100";
  EXPECT_THAT(answer.body, HasSubstr("1000 bytes"));
  EXPECT_EQ(ToHttpCode(read.Wait()), 413);
  EXPECT_TRUE(peer.IsClosedWithin(kSoon));
  EXPECT_EQ(Refused(Refusal::kBodyTooLarge), 1u);
}

TEST_F(ServerLimitsTest, RefusesAChunkedBodyOnceItIsOverTheLimit) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(10, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      if (body.ok()) exchange->Respond({.body = *body});
    });
  });
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  RawPeer fits(server_->address());
  EXPECT_EQ(fits.Ask(head + "a\r\n0123456789\r\n0\r\n\r\n").body, "0123456789");
  RawPeer over(server_->address());
  EXPECT_EQ(over.Ask(head + "a\r\n0123456789\r\n1\r\nx\r\n").status, 413);
  EXPECT_TRUE(over.IsClosedWithin(kSoon));
}

TEST_F(ServerLimitsTest, LetsARouteRaiseTheLimitOfItsBody) {
  options_.max_body_bytes = 10;
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->LimitBody(20);
    Exchange& asked = *exchange;
    asked.ReadSome([exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      if (body.ok()) exchange->Respond({.body = *body});
    });
  });
  RawPeer peer(server_->address());
  const std::string start = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ";
  EXPECT_EQ(peer.Ask(start + "20\r\n\r\n01234567890123456789").body, "01234567890123456789");
  EXPECT_EQ(peer.Ask(start + "21\r\n\r\n").status, 413);
}

TEST_F(ServerLimitsTest, EndsAHeaderThatDoesNotComeToItsEnd) {
  options_.header_timeout = absl::Seconds(1);  // enough for a whole one on a busy machine
  const Running running = ServeEcho();
  RawPeer half(server_->address());
  const RawPeer::Answer answer = half.Ask("GET / HTTP/1.1\r\nHost: ");
  EXPECT_EQ(answer.status, 408);
  EXPECT_EQ(answer.headers.Get("connection"), "close");
  EXPECT_TRUE(half.IsClosedWithin(kSoon));
  // The same in the second request of a connection.
  RawPeer second(server_->address());
  EXPECT_EQ(second.Ask(kGet).status, 200);
  EXPECT_EQ(second.Ask("GET").status, 408);
  EXPECT_EQ(Refused(Refusal::kHeaderTimeout), 2u);
}

TEST_F(ServerLimitsTest, GivesAHeaderNoMoreTimeForComingByteByByte) {
  options_.header_timeout = absl::Milliseconds(150);
  const Running running = ServeEcho();
  RawPeer peer(server_->address());
  const std::string endless(100'000, 'a');
  peer.Send("GET /");
  size_t sent = 0;
  while (sent < endless.size() && peer.IsQuietFor(milliseconds(5))) {
    peer.Send(endless.substr(sent++, 1));
  }
  EXPECT_LT(sent, 2000u);
  EXPECT_EQ(peer.Read().status, 408);
}

TEST_F(ServerLimitsTest, ClosesAConnectionThatNeverSpeaks) {
  options_.header_timeout = absl::Milliseconds(100);
  const Running running = ServeEcho();
  RawPeer peer(server_->address());
  EXPECT_EQ(peer.ReadToEnd(), "") << "without a word, as it asked nothing";
  EXPECT_EQ(Refused(Refusal::kHeaderTimeout), 1u);
}

TEST_F(ServerLimitsTest, ClosesAConnectionThatIsIdleTooLong) {
  options_.idle_timeout = absl::Milliseconds(100);
  const Running running = ServeEcho();
  RawPeer peer(server_->address());
  EXPECT_EQ(peer.Ask(kGet).status, 200);
  EXPECT_EQ(peer.ReadToEnd(), "");
  EXPECT_EQ(Refused(Refusal::kIdleTimeout), 1u);
  EXPECT_EQ(Refused(Refusal::kHeaderTimeout), 0u);
}

TEST_F(ServerLimitsTest, EndsABodyThatStopsComing) {
  options_.stall_timeout = absl::Milliseconds(100);
  Promise<absl::Status> read;
  Promise<bool> cancelled;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->OnCancel([&] { cancelled.Set(true); });
    Exchange& asked = *exchange;
    asked.ReadBody(1000, [&, exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      read.Set(body.status());
    });
  });
  RawPeer peer(server_->address());
  const RawPeer::Answer answer =
      peer.Ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(answer.status, 408);
  EXPECT_TRUE(peer.IsClosedWithin(kSoon));
  EXPECT_EQ(read.Wait().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(cancelled.Wait());
  EXPECT_EQ(Refused(Refusal::kBodyTimeout), 1u);
}

TEST_F(ServerLimitsTest, LetsARouteLiveWithPausesInItsBody) {
  options_.stall_timeout = absl::Milliseconds(50);
  Promise<std::shared_ptr<Exchange>> reading;
  Promise<std::string> read;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->LimitPause(absl::InfiniteDuration());
    exchange->ReadSome([&](absl::StatusOr<std::string> piece) { read.Set(piece.value_or("?")); });
    reading.Set(std::move(exchange));
  });
  RawPeer peer(server_->address());
  peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n");
  const std::shared_ptr<Exchange> exchange = reading.Wait();
  EXPECT_TRUE(peer.IsQuietFor(milliseconds(400)));
  peer.Send("late");
  EXPECT_EQ(read.Wait(), "late");
  // Taken back, it counts from then on.
  Promise<absl::Status> stalled;
  exchange->ReadSome([&](absl::StatusOr<std::string> piece) { stalled.Set(piece.status()); });
  exchange->LimitPause(absl::Milliseconds(50));
  EXPECT_EQ(stalled.Wait().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(peer.Read().status, 408);
}

TEST_F(ServerLimitsTest, TakesATrickleForAStall) {
  options_.stall_timeout = absl::Milliseconds(150);
  const Running running = ServeEcho();
  RawPeer peer(server_->address());
  peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  int sent = 0;
  while (sent < 10'000 && peer.IsQuietFor(milliseconds(5))) {
    peer.Send("x");
    ++sent;
  }
  EXPECT_LT(sent, 2000);
  EXPECT_EQ(peer.Read().status, 408);
}

// Reads an upload to its end, then answers with its size.
void CountUpload(std::shared_ptr<Exchange> exchange, size_t so_far) {
  Exchange& asked = *exchange;
  asked.ReadSome([exchange = std::move(exchange), so_far](absl::StatusOr<std::string> piece) {
    if (!piece.ok()) return;
    if (piece->empty()) return exchange->Respond({.body = std::to_string(so_far)});
    CountUpload(exchange, so_far + piece->size());
  });
}

TEST_F(ServerLimitsTest, TakesATrickleForAStallInAStreamedUploadToo) {
  // Every byte is a piece of its own, that its reader gets at once.
  options_.stall_timeout = absl::Milliseconds(150);
  const Running running =
      Serve([](std::shared_ptr<Exchange> exchange) { CountUpload(std::move(exchange), 0); });
  RawPeer peer(server_->address());
  peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
  int sent = 0;
  while (sent < 2000 && peer.IsQuietFor(milliseconds(5))) {
    peer.Send("x");
    ++sent;
  }
  EXPECT_LT(sent, 2000);
  EXPECT_EQ(peer.Read().status, 408);
}

TEST_F(ServerLimitsTest, DoesNotTakeAReadersOwnTimeForAStall) {
  options_.stall_timeout = absl::Milliseconds(100);
  Promise<std::shared_ptr<Exchange>> held;
  const Running running =
      Serve([&](std::shared_ptr<Exchange> exchange) { held.Set(std::move(exchange)); });
  RawPeer peer(server_->address());
  peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\na");
  const std::shared_ptr<Exchange> exchange = held.Wait();
  EXPECT_EQ(*ReadSomeBlocking(*exchange), "a");
  Promise<bool> never;
  EXPECT_FALSE(never.WaitFor(milliseconds(300)));
  peer.Send("bcd");
  EXPECT_EQ(*ReadSomeBlocking(*exchange), "bcd");
  exchange->Respond({});
  EXPECT_EQ(peer.Read().status, 200);
}

TEST_F(ServerLimitsTest, DoesNotCutAnUploadThatMakesProgress) {
  options_.total_timeout = absl::Milliseconds(100);
  options_.stall_timeout = absl::Seconds(2);
  const Running running =
      Serve([](std::shared_ptr<Exchange> exchange) { CountUpload(std::move(exchange), 0); });
  RawPeer peer(server_->address());
  peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 80000\r\n\r\n");
  // 20 pieces, 2.4 s: 24 times the total time-out and more than one stall's.
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(peer.IsQuietFor(milliseconds(120))) << "after piece " << i;
    peer.Send(std::string(4000, 'x'));
  }
  EXPECT_EQ(peer.Read().body, "80000");
}

TEST_F(ServerLimitsTest, CutsAnUploadWhereTheRouteLimitsItsTime) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->LimitTime(absl::Milliseconds(150));
    CountUpload(std::move(exchange), 0);
  });
  RawPeer peer(server_->address());
  peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n");
  int sent = 0;
  while (sent < 1000 && peer.IsQuietFor(milliseconds(5))) {
    peer.Send(std::string(4000, 'x'));
    ++sent;
  }
  EXPECT_LT(sent, 1000);
  EXPECT_EQ(peer.Read().status, 408);
  EXPECT_EQ(Refused(Refusal::kTotalTimeout), 1u);
}

TEST_F(ServerLimitsTest, AnswersForAHandlerThatTakesTooLong) {
  options_.total_timeout = absl::Milliseconds(100);
  Promise<std::shared_ptr<Exchange>> kept;
  Promise<bool> cancelled;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->OnCancel([&] { cancelled.Set(true); });
    kept.Set(std::move(exchange));
  });
  RawPeer peer(server_->address());
  const RawPeer::Answer answer = peer.Ask(kGet);
  EXPECT_EQ(answer.status, 504);
  EXPECT_THAT(answer.body, HasSubstr("deadline_exceeded"));
  EXPECT_TRUE(cancelled.Wait());
  kept.Wait()->Respond({.body = "too late"});
  EXPECT_EQ(peer.ReadToEnd(), "");
  EXPECT_EQ(Refused(Refusal::kTotalTimeout), 1u);
}

TEST_F(ServerLimitsTest, DoesNotCutAStreamThatIsSilent) {
  options_.total_timeout = options_.stall_timeout = absl::Milliseconds(80);
  options_.idle_timeout = absl::Milliseconds(80);
  options_.header_timeout = absl::Seconds(1);  // enough for a whole one on a busy machine
  Promise<std::shared_ptr<Exchange>> kept;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->StartResponse(200, {});
    kept.Set(std::move(exchange));
  });
  RawPeer peer(server_->address());
  peer.Send(kGet);
  const std::shared_ptr<Exchange> stream = kept.Wait();
  Promise<bool> never;
  EXPECT_FALSE(never.WaitFor(milliseconds(1200)));
  stream->Write("an event", nullptr);
  stream->Finish();
  EXPECT_EQ(peer.Read().body, "an event");
}

TEST_F(ServerLimitsTest, ClosesAPeerThatDoesNotReadItsAnswer) {
  options_.stall_timeout = absl::Milliseconds(100);
  Promise<absl::Status> written;
  Promise<bool> cancelled;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->OnCancel([&] { cancelled.Set(true); });
    exchange->StartResponse(200, {});
    exchange->Write(std::string(64 << 20, 'x'),
                    [&, exchange](absl::Status status) { written.Set(status); });
  });
  RawPeer peer(server_->address());
  peer.ShrinkReceiveBuffer();
  peer.Send(kGet);
  EXPECT_EQ(written.Wait().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(cancelled.Wait());
  EXPECT_EQ(Refused(Refusal::kWriteTimeout), 1u);
  WaitForStats([](const ServerStats& stats) { return stats.connections_open == 0; });
}

TEST_F(ServerLimitsTest, ClosesAPeerThatDoesNotReadALastAnswer) {
  options_.stall_timeout = absl::Milliseconds(100);
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.headers = {{"connection", "close"}}, .body = std::string(64 << 20, 'x')});
  });
  RawPeer peer(server_->address());
  peer.ShrinkReceiveBuffer();
  peer.Send(kGet);
  WaitForStats([](const ServerStats& stats) {
    return stats.connections_accepted == 1 && stats.connections_open == 0;
  });
}

TEST_F(ServerLimitsTest, TurnsAwayMoreConnectionsThanItTakes) {
  options_.max_connections = 3;
  const Running running = ServeEcho();
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 3; ++i) {
    peers.push_back(std::make_unique<RawPeer>(server_->address()));
    EXPECT_EQ(peers.back()->Ask(kGet).status, 200);
  }
  RawPeer over(server_->address());
  const RawPeer::Answer answer = over.Read();
  EXPECT_EQ(answer.status, 503);
  EXPECT_THAT(answer.body, HasSubstr("too_many_connections"));
  EXPECT_TRUE(over.IsClosedWithin(kSoon));
  EXPECT_EQ(Refused(Refusal::kTooManyConnections), 1u);
  // A place that becomes free is given again.
  peers.pop_back();
  WaitForStats([](const ServerStats& stats) { return stats.connections_open == 2; });
  EXPECT_EQ(RawPeer(server_->address()).Ask(kGet).status, 200);
}

TEST_F(ServerLimitsTest, TurnsAwayAnAddressThatHasTooMany) {
  options_.max_connections_per_address = 1;
  const Running running = ServeEcho();
  RawPeer first(server_->address());
  EXPECT_EQ(first.Ask(kGet).status, 200);
  EXPECT_EQ(RawPeer(server_->address()).Read().status, 503);
  EXPECT_EQ(Refused(Refusal::kTooManyFromAddress), 1u);
  EXPECT_EQ(first.Ask(kGet).status, 200) << "those that are there go on";
}

TEST_F(ServerLimitsTest, ShedsAThousandSlowConnectionsWhileItAnswersOthers) {
  options_.header_timeout = absl::Milliseconds(500);
  options_.stall_timeout = absl::Milliseconds(500);
  const Running running = ServeEcho();
  std::vector<std::unique_ptr<RawPeer>> slow;
  for (int i = 0; i < 999; ++i) {
    slow.push_back(std::make_unique<RawPeer>(server_->address()));
    if (i % 3 == 0) slow.back()->Send("GET / HTTP/1.1\r\nX: ");
    if (i % 3 == 1) slow.back()->Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx");
  }
  RawPeer normal(server_->address());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(normal.Ask(kGet).status, 200);
  for (const auto& peer : slow) ASSERT_TRUE(peer->IsClosedWithin(kSoon));
  EXPECT_EQ(Refused(Refusal::kHeaderTimeout) + Refused(Refusal::kBodyTimeout), 999u);
}

// A caller who finds no place in the kernel's queue tries again after a second, or gets an error.
TEST_F(ServerLimitsTest, ABurstOfConnectionsFindsPlacesWhileTheThreadIsBusy) {
  constexpr int kBurst = 2000;
  int places = 0;
  std::ifstream("/proc/sys/net/core/somaxconn") >> places;
  if (places < kBurst) GTEST_SKIP() << "net.core.somaxconn is " << places;
  const TempDir dir;
  const std::string path = dir / "s";
  options_.address = "unix:" + path;
  Promise<bool> busy;
  Promise<bool> go_on;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    busy.Set(true);
    go_on.Wait();
    exchange->Respond({.status = 204});
  });
  RawPeer first(server_->address());
  first.Send(kGet);
  busy.Wait();
  sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  int connected = 0;
  for (int i = 0; i < kBurst; ++i) {
    // One that is closed keeps its place.
    const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (::connect(socket, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0) ++connected;
    ::close(socket);
  }
  go_on.Set(true);
  EXPECT_EQ(connected, kBurst);
  EXPECT_EQ(first.Read().status, 204);
}

}  // namespace
}  // namespace slipway::http
