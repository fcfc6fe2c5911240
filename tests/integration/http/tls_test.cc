// The listener under TLS: real clients (curl, h2load, openssl) on one port.

#include <gmock/gmock.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "fmt/format.h"
#include "tests/integration/http/server_fixture.h"
#include "tests/support/temp_dir.h"

namespace slipway::http {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

struct Ran {
  int status;
  std::string output;
};

// A shell's command with its output.
Ran Shell(const std::string& command) {
  Ran ran;
  FILE* const pipe = ::popen((command + " 2>&1 < /dev/null").c_str(), "r");
  std::array<char, 4096> bytes;
  while (const size_t got = std::fread(bytes.data(), 1, bytes.size(), pipe)) {
    ran.output.append(bytes.data(), got);
  }
  ran.status = WEXITSTATUS(::pclose(pipe));
  return ran;
}

class TlsTest : public ServerTest {
 protected:
  TlsTest() {
    MakeCertificate("first", dir_ / "cert.pem", dir_ / "key.pem");
    options_.tls_certificate_file = dir_ / "cert.pem";
    options_.tls_key_file = dir_ / "key.pem";
  }

  static void MakeCertificate(const std::string& name, const std::string& certificate,
                              const std::string& key) {
    const Ran ran = Shell(fmt::format(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={} "
        "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout {} -out {}",
        name, key, certificate));
    ASSERT_EQ(ran.status, 0) << ran.output;
  }

  std::string url(std::string_view path) const {
    return fmt::format("https://{}{}", server_->address(), path);
  }
  Ran Curl(const std::string& arguments) const {
    return Shell(
        fmt::format("curl -sS --max-time 30 --cacert {} {}", dir_ / "cert.pem", arguments));
  }
  Ran OpenSsl(const std::string& arguments) const {
    return Shell(
        fmt::format("timeout 30 openssl s_client -connect {} {}", server_->address(), arguments));
  }

  const TempDir dir_;
};

TEST_F(TlsTest, SpeaksTheVersionThatAlpnAgreedOn) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.body = std::to_string(exchange->head().http_version)});
  });
  EXPECT_EQ(Curl("--http2 " + url("/")).output, "20");
  EXPECT_EQ(Curl("--http1.1 " + url("/")).output, "11");
  EXPECT_EQ(Curl("--no-alpn " + url("/")).output, "11");
  EXPECT_THAT(OpenSsl("-alpn h2,http/1.1").output, HasSubstr("ALPN protocol: h2"));
  EXPECT_THAT(OpenSsl("-alpn http/1.1").output, HasSubstr("ALPN protocol: http/1.1"));
  EXPECT_THAT(OpenSsl("-alpn spdy/3").output, HasSubstr("no application protocol"));
  EXPECT_EQ(Refused(Refusal::kTlsHandshake), 1u);
}

TEST_F(TlsTest, TakesNothingBelowTls12AndNothingPlain) {
  const Running running = ServeEcho();
  EXPECT_THAT(OpenSsl("-tls1_3").output, HasSubstr("Cipher is TLS_"));
  EXPECT_THAT(OpenSsl("-tls1_2").output, HasSubstr("Cipher is ECDHE-"));
  EXPECT_THAT(OpenSsl("-tls1_2 -cipher AES128-SHA").output, HasSubstr("handshake failure"));
  EXPECT_THAT(OpenSsl("-tls1_1 -cipher DEFAULT:@SECLEVEL=0").output,
              HasSubstr("alert protocol version"));
  RawPeer plain(server_->address());
  plain.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(plain.ReadToEnd(), Not(HasSubstr("200")));
  WaitForStats([](const ServerStats& stats) {
    return stats.refused[static_cast<int>(Refusal::kTlsHandshake)] == 3;
  });
  EXPECT_EQ(server_->stats().requests_started, 0u);
}

TEST_F(TlsTest, CarriesLargeBodiesBothWays) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(16 << 20, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      exchange->Respond({.body = *std::move(body)});
    });
  });
  std::string body(5'000'000, 0);
  for (size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7 % 251);
  std::ofstream(dir_ / "in", std::ios::binary) << body;
  for (const char* version : {"--http2", "--http1.1", "--http2 --tls-max 1.2"}) {
    const Ran ran = Curl(fmt::format("{} --data-binary @{} -H Expect: -o {} {}", version,
                                     dir_ / "in", dir_ / "out", url("/")));
    ASSERT_EQ(ran.status, 0) << version << ran.output;
    std::ifstream file(dir_ / "out", std::ios::binary);
    EXPECT_TRUE(std::string(std::istreambuf_iterator<char>(file), {}) == body) << version;
  }
}

TEST_F(TlsTest, ServesManyStreamsOfManyConnections) {
  options_.threads = 2;
  const Running running = ServeEcho();
  std::ofstream(dir_ / "body", std::ios::binary) << std::string(20'000, 'b');
  const Ran ran = Shell(fmt::format("h2load -n 400 -c 8 -m 10 -d {} {}", dir_ / "body", url("/")));
  EXPECT_THAT(ran.output, HasSubstr("400 succeeded, 0 failed")) << ran.output;
  EXPECT_EQ(server_->stats().requests_started, 400u);
}

TEST_F(TlsTest, EndsAHandshakeThatDoesNotComeToItsEnd) {
  options_.header_timeout = absl::Milliseconds(100);
  const Running running = ServeEcho();
  RawPeer silent(server_->address());
  RawPeer half(server_->address());
  half.Send("\x16\x03\x01\x02");  // the beginning of a record
  EXPECT_TRUE(silent.IsClosedWithin(milliseconds(5000)));
  EXPECT_TRUE(half.IsClosedWithin(milliseconds(5000)));
  EXPECT_EQ(Refused(Refusal::kHeaderTimeout), 2u);
}

TEST_F(TlsTest, TakesANewCertificateForNewConnectionsOnly) {
  Promise<absl::Status> told;
  options_.on_certificate = [&](const absl::Status& status) { told.Set(status); };
  Promise<std::shared_ptr<Exchange>> asked;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().target != "/held") return exchange->Respond({.body = "x"});
    asked.Set(std::move(exchange));
  });
  EXPECT_THAT(OpenSsl("").output, HasSubstr("CN = first"));
  FILE* const held = ::popen(
      fmt::format("curl -sS --max-time 60 --http2 --cacert {} {}", dir_ / "cert.pem", url("/held"))
          .c_str(),
      "r");
  const std::shared_ptr<Exchange> exchange = asked.Wait();

  const auto becomes = [&](const std::string& subject) {
    for (int i = 0; i < 200; ++i) {  // files are looked at once a second
      if (OpenSsl("").output.find("CN = " + subject) != std::string::npos) return true;
      Promise<bool>().WaitFor(milliseconds(50));
    }
    return false;
  };
  // A key without its certificate: the one before stays.
  MakeCertificate("second", dir_ / "cert2.pem", dir_ / "key2.pem");
  std::filesystem::rename(dir_ / "key2.pem", dir_ / "key.pem");
  for (int i = 0; i < 200 && told.times() == 0; ++i) {
    EXPECT_THAT(OpenSsl("").output, HasSubstr("CN = first"));
    told.WaitFor(milliseconds(50));
  }
  EXPECT_THAT(std::string(told.Wait().message()), HasSubstr("tls_key_file"));
  std::filesystem::rename(dir_ / "cert2.pem", dir_ / "cert.pem");
  EXPECT_TRUE(becomes("second"));
  EXPECT_TRUE(told.Wait().ok());
  EXPECT_EQ(told.times(), 2) << "once each";

  exchange->Respond({.body = "held all the while"});
  std::array<char, 100> bytes{};
  EXPECT_GT(std::fread(bytes.data(), 1, bytes.size(), held), 0u);
  EXPECT_STREQ(bytes.data(), "held all the while");
  EXPECT_EQ(::pclose(held), 0);
}

TEST_F(TlsTest, DoesNotStartWithoutAUsableCertificate) {
  options_.tls_key_file = dir_ / "nothing.pem";
  EXPECT_THAT(std::string(Server::Start(options_, handler_).status().message()),
              HasSubstr("nothing.pem"));
  options_.tls_key_file = "";
  EXPECT_FALSE(Server::Start(options_, handler_).ok());
  options_.tls_certificate_file = "";
  options_.tls_key_file = dir_ / "key.pem";
  EXPECT_FALSE(Server::Start(options_, handler_).ok());
}

}  // namespace
}  // namespace slipway::http
