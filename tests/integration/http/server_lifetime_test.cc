// Beginnings and ends: addresses, peers that leave, draining, and who outlives whom.

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "tests/integration/http/server_fixture.h"
#include "tests/support/temp_dir.h"

namespace slipway::http {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

constexpr char kGet[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr milliseconds kSoon{5000};

class ServerLifetimeTest : public ServerTest {
 protected:
  /// A handler that keeps each exchange until the test takes it.
  [[nodiscard]] Running ServeHeld() {
    return Serve([this](std::shared_ptr<Exchange> exchange) {
      exchange->OnCancel([this] { cancelled_.Set(true); });
      held_.Set(std::move(exchange));
    });
  }

  Promise<std::shared_ptr<Exchange>> held_;
  Promise<bool> cancelled_;
};

TEST_F(ServerLifetimeTest, TellsThePortItBound) {
  const Running running = ServeEcho();
  EXPECT_GT(server_->port(), 0);
  EXPECT_EQ(server_->address(), "127.0.0.1:" + std::to_string(server_->port()));
}

TEST_F(ServerLifetimeTest, RefusesAnAddressThatIsTaken) {
  const Running running = ServeEcho();
  ServerOptions options;
  options.address = server_->address();
  const auto second = Server::Start(options, handler_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(server_->address()));
}

TEST_F(ServerLifetimeTest, RefusesAddressesAndOptionsThatMakeNoSense) {
  for (const char* address : {"", "nowhere", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x",
                              "127.0.0.1:65536", "127.0.0.1:80 ", "example.com:80", "unix:"}) {
    ServerOptions options;
    options.address = address;
    EXPECT_EQ(FieldOf(Server::Start(options, handler_).status()), "address") << address;
  }
  ServerOptions options;
  options.threads = 0;
  EXPECT_EQ(FieldOf(Server::Start(options, handler_).status()), "threads");
  options.threads = 1;
  options.idle_timeout = absl::ZeroDuration();
  EXPECT_EQ(FieldOf(Server::Start(options, handler_).status()), "idle_timeout");
}

TEST_F(ServerLifetimeTest, ListensOnAUnixSocketAndRemovesIt) {
  const TempDir folder;
  options_.address = "unix:" + (folder / "s.sock");
  Promise<std::string> peer_address;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    peer_address.Set(exchange->head().peer_address);
    exchange->Respond({});
  });
  EXPECT_EQ(server_->address(), options_.address);
  EXPECT_EQ(server_->port(), 0);
  EXPECT_EQ(RawPeer(server_->address()).Ask(kGet).status, 200);
  EXPECT_EQ(peer_address.Wait(), "unix");

  EXPECT_EQ(Server::Start(options_, handler_).status().code(), absl::StatusCode::kAlreadyExists)
      << "a live socket is not taken away";
  EXPECT_EQ(RawPeer(server_->address()).Ask(kGet).status, 200);
  server_.reset();
  EXPECT_FALSE(std::filesystem::exists(folder / "s.sock"));
}

TEST_F(ServerLifetimeTest, ReplacesTheSocketOfAProcessThatDied) {
  const TempDir folder;
  options_.address = "unix:" + (folder / "s.sock");
  const Running before = ServeEcho();
  // A second name keeps the file when its server goes, as after a kill.
  std::filesystem::create_hard_link(folder / "s.sock", folder / "kept");
  server_.reset();
  std::filesystem::rename(folder / "kept", folder / "s.sock");
  const Running running = ServeEcho();
  EXPECT_EQ(RawPeer(server_->address()).Ask(kGet).status, 200);
}

TEST_F(ServerLifetimeTest, LeavesAFileThatIsNoSocketAlone) {
  const TempDir folder;
  const int file = ::open((folder / "s.sock").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  ::close(file);
  options_.address = "unix:" + (folder / "s.sock");
  EXPECT_FALSE(Server::Start(options_, handler_).ok());
  EXPECT_TRUE(std::filesystem::exists(folder / "s.sock"));
}

TEST_F(ServerLifetimeTest, RefusesAPathThatIsTooLongForASocket) {
  options_.address = "unix:/tmp/" + std::string(120, 'x');
  EXPECT_THAT(std::string(Server::Start(options_, handler_).status().message()),
              HasSubstr("107 bytes"));
}

TEST_F(ServerLifetimeTest, LeavesNoSocketToProcessesThatAreLaunched) {
  const Running running = ServeEcho();
  RawPeer peer(server_->address());
  EXPECT_EQ(peer.Ask(kGet).status, 200);
  int sockets = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int descriptor = std::stoi(entry.path().filename().string());
    struct stat what {};
    if (::fstat(descriptor, &what) != 0 || !S_ISSOCK(what.st_mode)) continue;
    ++sockets;
    EXPECT_TRUE(::fcntl(descriptor, F_GETFD) & FD_CLOEXEC) << descriptor;
  }
  EXPECT_GE(sockets, 3) << "the listener and both ends of the connection";
}

TEST_F(ServerLifetimeTest, TellsTheHandlerThatThePeerLeft) {
  const Running running = ServeHeld();
  RawPeer peer(server_->address());
  peer.Send(kGet);
  const std::shared_ptr<Exchange> exchange = held_.Wait();
  EXPECT_FALSE(cancelled_.WaitFor(milliseconds(20)));
  peer.Reset();
  EXPECT_TRUE(cancelled_.Wait());
  exchange->Respond({});  // does nothing
  WaitForStats([](const ServerStats& stats) { return stats.connections_open == 0; });
  EXPECT_EQ(server_->stats().requests_abandoned, 1u);
  EXPECT_EQ(cancelled_.times(), 1);
}

TEST_F(ServerLifetimeTest, TellsTheHandlerThatThePeerClosedButStillAnswersOneThatListens) {
  const Running running = ServeHeld();
  RawPeer peer(server_->address());
  peer.Send(kGet);
  const std::shared_ptr<Exchange> exchange = held_.Wait();
  peer.CloseSending();
  EXPECT_TRUE(cancelled_.Wait());
  exchange->Respond({.body = "still"});
  EXPECT_EQ(peer.Read().body, "still");
  EXPECT_TRUE(peer.IsClosedWithin(kSoon));
}

TEST_F(ServerLifetimeTest, CallsAHandlerThatAsksTooLateWhetherThePeerLeft) {
  const Running running =
      Serve([this](std::shared_ptr<Exchange> exchange) { held_.Set(std::move(exchange)); });
  RawPeer peer(server_->address());
  peer.Send(kGet);
  const std::shared_ptr<Exchange> exchange = held_.Wait();
  peer.CloseSending();
  // The server has seen the end once it reads no more: nothing tells from outside, so ask twice.
  exchange->OnCancel([this] { cancelled_.Set(true); });
  EXPECT_TRUE(cancelled_.Wait());
}

TEST_F(ServerLifetimeTest, DoesNotCancelARequestThatWasAnswered) {
  const Running running = ServeHeld();
  {
    RawPeer peer(server_->address());
    peer.Send(kGet);
    held_.Wait()->Respond({});
    EXPECT_EQ(peer.Read().status, 200);
  }
  WaitForStats([](const ServerStats& stats) { return stats.connections_open == 0; });
  EXPECT_EQ(cancelled_.times(), 0);
}

TEST_F(ServerLifetimeTest, EndsAReadWhenThePeerLeaves) {
  Promise<absl::Status> read;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(100, [&, exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      read.Set(body.status());
    });
  });
  RawPeer peer(server_->address());
  peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  peer.Close();
  EXPECT_EQ(read.Wait().code(), absl::StatusCode::kCancelled);
}

TEST_F(ServerLifetimeTest, EndsAWriteWhenThePeerLeaves) {
  Promise<absl::Status> written;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->StartResponse(200, {});
    Exchange& asked = *exchange;
    asked.Write(std::string(64 << 20, 'x'),
                [&, exchange = std::move(exchange)](absl::Status status) { written.Set(status); });
  });
  RawPeer peer(server_->address());
  peer.Send(kGet);
  EXPECT_FALSE(peer.IsQuietFor(kSoon));
  peer.Reset();
  EXPECT_EQ(written.Wait().code(), absl::StatusCode::kCancelled);
}

TEST_F(ServerLifetimeTest, DrainLetsARequestFinishAndRefusesNewOnes) {
  options_.threads = 2;
  const Running running = ServeHeld();
  RawPeer idle(server_->address());
  EXPECT_TRUE(idle.IsQuietFor(milliseconds(1)));
  RawPeer busy(server_->address());
  busy.Send(kGet);
  const std::shared_ptr<Exchange> exchange = held_.Wait();
  Promise<int> broken;
  std::jthread draining([&] { broken.Set(server_->Drain(absl::Seconds(20))); });
  EXPECT_TRUE(idle.IsClosedWithin(kSoon));
  EXPECT_FALSE(broken.WaitFor(milliseconds(20))) << "it waits for the request";
  EXPECT_FALSE(RawPeer::CanConnect(server_->address()));
  exchange->Respond({.body = "done"});
  const RawPeer::Answer answer = busy.Read();
  EXPECT_EQ(answer.body, "done");
  EXPECT_EQ(answer.headers.Get("connection"), "close");
  EXPECT_TRUE(busy.IsClosedWithin(kSoon));
  EXPECT_EQ(broken.Wait(), 0);
  EXPECT_EQ(cancelled_.times(), 0);
}

TEST_F(ServerLifetimeTest, DrainAnswersARequestThatComesWithinTheGrace) {
  const Running running = ServeEcho();
  RawPeer peer(server_->address());
  EXPECT_EQ(peer.Ask(kGet).status, 200);
  Promise<int> broken;
  std::jthread draining(
      [&] { broken.Set(server_->Drain(absl::Seconds(20), /*idle_grace=*/absl::Seconds(20))); });
  // Once the listener is gone the drain has begun.
  EXPECT_TRUE(peer.IsQuietFor(milliseconds(50)));
  const RawPeer::Answer answer = peer.Ask(kGet);
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.headers.Get("connection"), "close");
  EXPECT_EQ(broken.Wait(), 0);
}

TEST_F(ServerLifetimeTest, DrainCutsWhatIsNotDoneByTheDeadline) {
  const Running running = ServeHeld();
  RawPeer peer(server_->address());
  peer.Send(kGet);
  const std::shared_ptr<Exchange> exchange = held_.Wait();
  EXPECT_EQ(server_->Drain(absl::Milliseconds(50)), 1);
  EXPECT_TRUE(cancelled_.Wait());
  EXPECT_TRUE(peer.IsClosedWithin(kSoon));
}

TEST_F(ServerLifetimeTest, AnExchangeMayOutliveItsServer) {
  const Running running = ServeHeld();
  RawPeer peer(server_->address());
  peer.Send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
  std::shared_ptr<Exchange> exchange = held_.Wait();
  Promise<absl::Status> before;
  exchange->ReadBody(100, [&](absl::StatusOr<std::string> body) { before.Set(body.status()); });
  server_.reset();
  EXPECT_EQ(before.Wait().code(), absl::StatusCode::kCancelled);
  EXPECT_TRUE(cancelled_.Wait());
  EXPECT_EQ(exchange->head().method, "POST");
  exchange->Respond({});
  EXPECT_EQ(ReadBodyBlocking(*exchange, 10).status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(WriteBlocking(*exchange, "x").code(), absl::StatusCode::kCancelled);
  held_.Set(nullptr);
  exchange.reset();
}

TEST_F(ServerLifetimeTest, StopsWhileRequestsComeInFromAllSides) {
  for (int round = 0; round < 20; ++round) {
    options_.threads = 2;
    const Running running = ServeEcho();
    const std::string address = server_->address();
    std::vector<std::unique_ptr<RawPeer>> peers;
    for (int i = 0; i < 4; ++i) peers.push_back(std::make_unique<RawPeer>(address));
    std::vector<std::jthread> callers;
    for (const auto& peer : peers) {
      callers.emplace_back([&peer] {
        while (peer->Ask(kGet).status == 200) {
        }
      });
    }
    WaitForStats([](const ServerStats& stats) { return stats.requests_started > 50; });
    server_.reset();
  }
}

}  // namespace
}  // namespace slipway::http
