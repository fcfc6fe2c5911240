// Memory stays flat whatever HTTP/2 peers do.

#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "tests/integration/http/http2_peer.h"
#include "tests/integration/http/memory_watch.h"
#include "tests/integration/http/server_fixture.h"
#include "tests/support/sanitizers.h"

namespace slipway::http {
namespace {

class Http2MemoryTest : public ServerTest {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "a sanitizer keeps what is freed";
  }
};

TEST_F(Http2MemoryTest, CarriesLongBodiesInFlatMemory) {
  // What comes goes back, piece by piece, as fast as the peer takes it.
  struct Echo : std::enable_shared_from_this<Echo> {
    std::shared_ptr<Exchange> exchange;
    MemoryWatch memory;
    Promise<uint64_t>* growth = nullptr;
    void Next() {
      exchange->ReadSome([self = shared_from_this()](absl::StatusOr<std::string> piece) {
        self->memory.Look();
        if (!piece.ok()) return;
        if (piece->empty()) {
          self->growth->Set(self->memory.growth());
          return self->exchange->Finish();
        }
        self->exchange->Write(*std::move(piece), [self](const absl::Status& status) {
          if (status.ok()) self->Next();
        });
      });
    }
  };
  Promise<uint64_t> growth;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->LimitBody(1 << 30);
    exchange->StartResponse(200, {});
    auto echo = std::make_shared<Echo>();
    echo->exchange = std::move(exchange);
    echo->growth = &growth;
    echo->Next();
  });
  constexpr int kMegabytes = 128;
  const std::string command = fmt::format(
      "head -c {}M /dev/zero | curl -sS --max-time 100 --http2-prior-knowledge -T - "
      "http://{}/ | wc -c | grep -qx {}",
      kMegabytes, server_->address(), kMegabytes << 20);
  EXPECT_EQ(std::system(command.c_str()), 0);
  EXPECT_LT(growth.Wait(), 32u << 20);
}

TEST_F(Http2MemoryTest, HoldsLittleForConnectionsThatAreIdleOrSlow) {
  const Running running = ServeEcho();
  std::vector<std::unique_ptr<Http2Peer>> peers;
  const auto add = [&](int count) {
    for (int i = 0; i < count; ++i) {
      peers.push_back(std::make_unique<Http2Peer>(server_->address()));
      ASSERT_EQ(peers.back()->Ask(1, Http2Peer::Get("/")).status, 200);
      // And a header that does not come to its end.
      peers.back()->Send(
          Http2Peer::Make(Http2Peer::kHeaders, 0, 3, Http2Peer::Block(Http2Peer::Get("/"))));
    }
  };
  peers.reserve(400);
  add(50);
  const uint64_t before = ResidentBytes();
  add(300);
  const uint64_t growth = ResidentBytes() - std::min(before, ResidentBytes());
  EXPECT_LT(growth / 300, 32u << 10) << "bytes a connection, the test's own end included";
}

TEST_F(Http2MemoryTest, HoldsLittleForPeersThatResetTheirStreams) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(100, [exchange = std::move(exchange)](const absl::StatusOr<std::string>&) {});
  });
  const std::string block = Http2Peer::Block(Http2Peer::Post("/"));
  MemoryWatch memory;
  for (int peers = 0; peers < 20; ++peers) {
    Http2Peer peer(server_->address());
    for (uint32_t stream = 1; stream < 40'000; stream += 2) {
      if (!peer.Send(Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, stream, block) +
                     Http2Peer::Make(Http2Peer::kReset, 0, stream, Http2Peer::Number(8)))) {
        break;
      }
    }
    memory.Look();
  }
  EXPECT_EQ(Refused(Refusal::kTooManyResets), 20u);
  EXPECT_LT(memory.growth(), 16u << 20);
}

}  // namespace
}  // namespace slipway::http
