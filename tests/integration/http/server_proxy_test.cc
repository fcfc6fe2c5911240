// Callers behind proxies: what a trusted one says of them counts, and what others say does not.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "fmt/format.h"
#include "tests/integration/http/http2_peer.h"
#include "tests/integration/http/server_fixture.h"
#include "tests/support/temp_dir.h"

namespace slipway::http {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::chrono::seconds kSoon{20};
constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

std::string Header(char command, std::string_view rest) {
  return std::string("\r\n\r\n\0\r\nQUIT\n", 12) + command + '\x11' +
         static_cast<char>(rest.size() >> 8) + static_cast<char>(rest.size()) + std::string(rest);
}

// A caller at 192.0.2.7, and a TLV behind it.
std::string ForCaller() {
  return Header('\x21', std::string_view(
                            "\xc0\x00\x02\x07\x0a\x00\x00\x01\x12\x67\x01\xbb\x04\x00\x01x", 16));
}

std::string Get(const std::string& forwarded) {
  return fmt::format("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {}\r\n\r\n", forwarded);
}

class ServerProxyTest : public ServerTest {
 protected:
  void Trust(const std::string& network) {
    options_.trusted_proxies = *Networks::Parse({network}, "trusted_proxies");
  }

  /// Answers each request with its caller's address.
  [[nodiscard]] Running ServeAddress() {
    return Serve([](const std::shared_ptr<Exchange>& exchange) {
      exchange->Respond({.body = exchange->head().peer_address});
    });
  }
};

TEST_F(ServerProxyTest, BelievesForwardedForFromATrustedProxyOnly) {
  {
    Trust("127.0.0.0/8");
    const Running running = ServeAddress();
    RawPeer proxy(server_->address());
    EXPECT_EQ(proxy.Ask(Get("203.0.113.5, 192.0.2.7, 127.0.0.9")).body, "192.0.2.7");
    EXPECT_EQ(proxy.Ask(Get("203.0.113.5")).body, "203.0.113.5") << "each request by itself";
    EXPECT_EQ(proxy.Ask(kGet).body, "127.0.0.1");
    Http2Peer peer(server_->address());
    Headers fields = Http2Peer::Get("/");
    fields.Add("x-forwarded-for", "192.0.2.7");
    EXPECT_EQ(peer.Ask(1, fields).body, "192.0.2.7");
  }
  Trust("10.0.0.0/8");
  const Running running = ServeAddress();
  EXPECT_EQ(RawPeer(server_->address()).Ask(Get("192.0.2.7")).body, "127.0.0.1");
  Http2Peer peer(server_->address());
  Headers fields = Http2Peer::Get("/");
  fields.Add("x-forwarded-for", "192.0.2.7");
  EXPECT_EQ(peer.Ask(1, fields).body, "127.0.0.1");
}

TEST_F(ServerProxyTest, TakesTheHeaderAheadOfTheFirstRequest) {
  Trust("127.0.0.1");
  const Running running = ServeAddress();
  RawPeer whole(server_->address());
  EXPECT_EQ(whole.Ask(ForCaller() + std::string(kGet)).body, "192.0.2.7");
  EXPECT_EQ(whole.Ask(Get("203.0.113.5")).body, "192.0.2.7") << "the caller is no proxy";

  RawPeer in_pieces(server_->address());
  for (const char byte : ForCaller()) ASSERT_TRUE(in_pieces.Send({&byte, 1}));
  EXPECT_EQ(in_pieces.Ask(kGet).body, "192.0.2.7");

  RawPeer for_itself(server_->address());
  EXPECT_EQ(for_itself.Ask(Header('\x20', "") + Get("203.0.113.5")).body, "203.0.113.5");

  RawPeer second(server_->address());
  const std::string settings = Http2Peer::Make(Http2Peer::kSettings, 0, 0, "");
  second.Send(ForCaller() + std::string(Http2Peer::kPreface) + settings +
              Http2Peer::Request(1, Http2Peer::Get("/")));
  std::string bytes;
  while (bytes.find("192.0.2.7") == std::string::npos) {
    const std::string some = second.ReadSome();
    ASSERT_FALSE(some.empty()) << "HTTP/2 behind the header";
    bytes += some;
  }
}

TEST_F(ServerProxyTest, ATrustedProxyNeedNotSendIt) {
  Trust("127.0.0.1");
  const Running running = ServeAddress();
  RawPeer peer(server_->address());
  EXPECT_EQ(peer.Ask("\r\n" + std::string(kGet)).body, "127.0.0.1") << "an empty line is no header";
}

TEST_F(ServerProxyTest, RefusesAMalformedHeader) {
  Trust("127.0.0.1");
  const Running running = ServeAddress();
  RawPeer peer(server_->address());
  peer.Send(Header('\x29', "") + std::string(kGet));
  EXPECT_THAT(peer.ReadToEnd(), Not(HasSubstr("200")));
  EXPECT_EQ(Refused(Refusal::kMalformed), 1u);
  WaitForStats([](const ServerStats& stats) { return stats.connections_open == 0; });
}

TEST_F(ServerProxyTest, ClosesAHeaderThatDoesNotComeToItsEnd) {
  Trust("127.0.0.1");
  options_.header_timeout = absl::Milliseconds(100);
  const Running running = ServeAddress();
  RawPeer peer(server_->address());
  peer.Send(ForCaller().substr(0, 20));
  EXPECT_TRUE(peer.IsClosedWithin(kSoon));
  EXPECT_EQ(Refused(Refusal::kHeaderTimeout), 1u);
}

TEST_F(ServerProxyTest, RefusesTheHeaderFromAnyoneElse) {
  Trust("10.0.0.0/8");
  const Running running = ServeAddress();
  RawPeer peer(server_->address());
  EXPECT_EQ(peer.Ask(ForCaller() + std::string(kGet)).status, 400);
  EXPECT_TRUE(peer.IsClosedWithin(kSoon));
  EXPECT_EQ(server_->stats().requests_started, 0u);
}

TEST_F(ServerProxyTest, CountsConnectionsByTheCallersAddress) {
  Trust("127.0.0.1");
  options_.max_connections_per_address = 1;
  const Running running = ServeAddress();
  RawPeer first(server_->address());
  RawPeer of_another(server_->address());
  EXPECT_EQ(first.Ask(ForCaller() + std::string(kGet)).status, 200);
  EXPECT_EQ(of_another.Ask(kGet).status, 200);
  RawPeer second(server_->address());
  second.Send(ForCaller() + std::string(kGet));
  EXPECT_TRUE(second.IsClosedWithin(kSoon));
  EXPECT_EQ(Refused(Refusal::kTooManyFromAddress), 1u);
  first.Close();
  WaitForStats([](const ServerStats& stats) { return stats.connections_open == 1; });
  EXPECT_EQ(RawPeer(server_->address()).Ask(ForCaller() + std::string(kGet)).status, 200);
}

// A TLS client that sends `ahead` before its handshake: what the server then answers to a GET.
std::string AskUnderTls(int port, std::string_view ahead) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<uint16_t>(port));
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  EXPECT_EQ(::connect(socket, reinterpret_cast<sockaddr*>(&name), sizeof(name)), 0);
  EXPECT_EQ(::send(socket, ahead.data(), ahead.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(ahead.size()));
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context(SSL_CTX_new(TLS_client_method()),
                                                             SSL_CTX_free);
  const std::unique_ptr<SSL, void (*)(SSL*)> tls(SSL_new(context.get()), SSL_free);
  SSL_set_fd(tls.get(), socket);
  std::string answer;
  if (SSL_connect(tls.get()) == 1) {
    SSL_write(tls.get(), kGet.data(), static_cast<int>(kGet.size()));
    answer.resize(4096);
    const int got = SSL_read(tls.get(), answer.data(), static_cast<int>(answer.size()));
    answer.resize(got > 0 ? static_cast<size_t>(got) : 0);
  }
  ::close(socket);
  return answer;
}

TEST_F(ServerProxyTest, TakesTheHeaderAheadOfTls) {
  const TempDir dir;
  options_.tls_certificate_file = dir / "cert.pem";
  options_.tls_key_file = dir / "key.pem";
  ASSERT_EQ(std::system(fmt::format("openssl req -x509 -newkey ec -pkeyopt "
                                    "ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x -keyout {} "
                                    "-out {} 2> /dev/null",
                                    dir / "key.pem", dir / "cert.pem")
                            .c_str()),
            0);
  {
    Trust("127.0.0.1");
    const Running running = ServeAddress();
    EXPECT_THAT(AskUnderTls(server_->port(), ForCaller()), HasSubstr("192.0.2.7"));
    EXPECT_THAT(AskUnderTls(server_->port(), ""), HasSubstr("127.0.0.1"));
  }
  Trust("10.0.0.0/8");
  const Running running = ServeAddress();
  EXPECT_EQ(AskUnderTls(server_->port(), ForCaller()), "");
  EXPECT_EQ(Refused(Refusal::kTlsHandshake), 1u);
}

}  // namespace
}  // namespace slipway::http
