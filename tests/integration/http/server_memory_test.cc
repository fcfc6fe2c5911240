// Memory stays flat whatever passes through. SLIPWAY_TEST_UPLOAD_BYTES makes the uploads longer.

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/http/memory_watch.h"
#include "tests/integration/http/server_fixture.h"
#include "tests/support/sanitizers.h"

namespace slipway::http {
namespace {

class ServerMemoryTest : public ServerTest {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a sanitizer keeps what is freed";
  }
};

uint64_t UploadBytes() {
  const char* const bytes = std::getenv("SLIPWAY_TEST_UPLOAD_BYTES");
  return bytes == nullptr ? 256u << 20 : std::strtoull(bytes, nullptr, 10);
}

TEST_F(ServerMemoryTest, TakesALongUploadInFlatMemory) {
  struct Upload : std::enable_shared_from_this<Upload> {
    std::shared_ptr<Exchange> exchange;
    uint64_t bytes = 0;
    MemoryWatch memory;
    void Next() {
      exchange->ReadSome([self = shared_from_this()](absl::StatusOr<std::string> piece) {
        if (!piece.ok()) return;
        if (self->bytes % (16 << 20) < piece->size()) self->memory.Look();
        self->bytes += piece->size();
        if (!piece->empty()) return self->Next();
        self->exchange->Respond({.headers = {{"growth", std::to_string(self->memory.growth())}},
                                 .body = std::to_string(self->bytes)});
      });
    }
  };
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->LimitBody(UploadBytes());
    auto upload = std::make_shared<Upload>();
    upload->exchange = std::move(exchange);
    upload->Next();
  });
  for (const bool chunked : {false, true}) {
    RawPeer peer(server_->address());
    const std::string piece(1 << 20, 'x');
    const uint64_t pieces = UploadBytes() >> 20;
    peer.Send("PUT / HTTP/1.1\r\nHost: x\r\n" +
              (chunked ? "Transfer-Encoding: chunked"
                       : "Content-Length: " + std::to_string(pieces << 20)) +
              "\r\n\r\n");
    for (uint64_t i = 0; i < pieces; ++i) {
      if (chunked) peer.Send("100000\r\n");
      ASSERT_TRUE(peer.Send(piece));
      if (chunked) peer.Send("\r\n");
    }
    if (chunked) peer.Send("0\r\n\r\n");
    const RawPeer::Answer answer = peer.Read();
    EXPECT_EQ(answer.body, std::to_string(pieces << 20));
    EXPECT_LT(std::stoull(std::string(answer.headers.Get("growth"))), 32u << 20) << chunked;
  }
}

TEST_F(ServerMemoryTest, TakesNothingOfAnUploadBeforeItIsAskedFor) {
  Promise<std::shared_ptr<Exchange>> held;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->LimitBody(UINT64_MAX);
    held.Set(std::move(exchange));
  });
  RawPeer peer(server_->address());
  peer.Send("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n");
  const std::shared_ptr<Exchange> exchange = held.Wait();
  const std::string piece(1 << 20, 'x');
  const auto fill_the_kernel = [&] {
    Promise<bool> never;
    for (int quiet = 0; quiet < 20;) {
      const size_t now = peer.SendWithoutWaiting(piece);
      quiet = now == 0 ? quiet + 1 : 0;
      if (now == 0) never.WaitFor(std::chrono::milliseconds(2));
    }
  };
  fill_the_kernel();
  EXPECT_LE(server_->stats().bytes_read, 4u << 10);
  ASSERT_TRUE(ReadSomeBlocking(*exchange).ok());
  fill_the_kernel();
  const uint64_t after_one = server_->stats().bytes_read;
  EXPECT_LE(after_one, 140u << 10) << "what was asked for, and one piece ahead";
  peer.Reset();
}

TEST_F(ServerMemoryTest, SendsALongAnswerInFlatMemory) {
  struct Download : std::enable_shared_from_this<Download> {
    std::shared_ptr<Exchange> exchange;
    uint64_t left = UploadBytes() >> 16;
    MemoryWatch memory;
    Promise<uint64_t>* growth = nullptr;
    void Next() {
      if (left-- == 0) {
        growth->Set(memory.growth());
        return exchange->Finish();
      }
      if (left % 256 == 0) memory.Look();
      exchange->Write(std::string(64 << 10, 'x'), [self = shared_from_this()](absl::Status status) {
        if (status.ok()) self->Next();
      });
    }
  };
  Promise<uint64_t> growth;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    auto download = std::make_shared<Download>();
    exchange->StartResponse(200, {});
    download->exchange = std::move(exchange);
    download->growth = &growth;
    download->Next();
  });
  // Read in pieces by hand, so that the test itself keeps nothing.
  RawPeer peer(server_->address());
  peer.Send("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_GE(peer.CountToEnd(), UploadBytes());
  EXPECT_LT(growth.Wait(), 32u << 20);
}

TEST_F(ServerMemoryTest, HoldsLittleForAConnectionThatIsIdle) {
  options_.max_connections_per_address = 10'000;
  const Running running = ServeEcho();
  // Each connection has answered one small and one large request before it is idle.
  const std::string large =
      "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x');
  std::vector<std::unique_ptr<RawPeer>> peers;
  const auto add = [&](int count) {
    for (int i = 0; i < count; ++i) {
      peers.push_back(std::make_unique<RawPeer>(server_->address()));
      ASSERT_EQ(peers.back()->Ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
      ASSERT_EQ(peers.back()->Ask(large).status, 200);
    }
  };
  peers.reserve(1100);
  add(100);
  const uint64_t before = ResidentBytes();
  add(1000);
  const uint64_t growth = ResidentBytes() - std::min(before, ResidentBytes());
  EXPECT_LT(growth / 1000, 6u << 10) << "bytes a connection, the test's own end included";
}

}  // namespace
}  // namespace slipway::http
