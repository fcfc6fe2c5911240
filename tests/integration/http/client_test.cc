// The outbound client against our own listener, and against ends that misbehave.

#include "common/http/client/client.h"

#include <gmock/gmock.h>

#include <fstream>
#include <sstream>
#include <streambuf>
#include <thread>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "tests/integration/http/memory_watch.h"
#include "tests/integration/http/server_fixture.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temp_dir.h"

namespace slipway::http {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class ClientTest : public ServerTest {
 protected:
  Client ClientOf(ClientOptions options = {}) { return ClientOf(server_->address(), options); }
  static Client ClientOf(const std::string& address, ClientOptions options = {}) {
    absl::StatusOr<Client> client = Client::Create("http://" + address, std::move(options));
    EXPECT_TRUE(client.ok()) << std::string(client.status().message());
    return *std::move(client);
  }
  static std::string Text(const absl::Status& status) { return std::string(status.message()); }
};

uint64_t TransferBytes() {
  const char* const bytes = std::getenv("SLIPWAY_TEST_UPLOAD_BYTES");
  return bytes == nullptr ? 256u << 20 : std::strtoull(bytes, nullptr, 10);
}

// A stream of so many bytes that are made as they are read, noting the memory meanwhile.
class MadeBytes final : public std::streambuf {
 public:
  explicit MadeBytes(uint64_t bytes)
      : left_(bytes), before_(ResidentBytes()), piece_(64 << 10, 'x') {}
  uint64_t growth() const { return peak_ > before_ ? peak_ - before_ : 0; }

 protected:
  int_type underflow() override {
    if (left_ == 0) return traits_type::eof();
    peak_ = std::max(peak_, ResidentBytes());
    const size_t now = std::min<uint64_t>(left_, piece_.size());
    left_ -= now;
    setg(piece_.data(), piece_.data(), piece_.data() + now);
    return traits_type::to_int_type(piece_[0]);
  }

 private:
  uint64_t left_;
  const uint64_t before_;
  uint64_t peak_ = 0;
  std::string piece_;
};

TEST_F(ClientTest, SendsARequestAndReadsItsAnswer) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(1000, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      const RequestHead& head = exchange->head();
      exchange->Respond({.status = 201,
                         .headers = {{"X-Answer", "a"}},
                         .body = head.method + " " + head.target + " " +
                                 std::string(head.headers.Get("content-type")) + " " +
                                 std::string(head.headers.Get("authorization")) + " " +
                                 std::string(head.headers.Get("x-own")) + " " + *body});
    });
  });
  const Client client = ClientOf({.headers = {{"Authorization", "Bearer k"}, {"X-Own", "base"}}});
  const auto answer =
      client.Send({.method = "PATCH",
                   .target = "/a%2Fb?c=d%20e",
                   .headers = {{"Content-Type", "application/json"}, {"x-own", "1"}},
                   .body = "{}"});
  ASSERT_TRUE(answer.ok()) << Text(answer.status());
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->headers.Get("x-answer"), "a");
  EXPECT_EQ(answer->body, "PATCH /a%2Fb?c=d%20e application/json Bearer k 1 {}");
}

TEST_F(ClientTest, JoinsTheTargetToThePrefixOfItsUrl) {
  const Running running = ServeEcho();
  const auto client = Client::Create("http://" + server_->address() + "/base");
  EXPECT_EQ(client->Send({.target = "/a?b"})->body, "GET /base/a?b ");
}

TEST_F(ClientTest, KeepsItsConnection) {
  const Running running = ServeEcho();
  const Client client = ClientOf();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(client.Send({}).ok());
  // An answer may be there a moment before its connection is free again.
  EXPECT_LE(server_->stats().connections_accepted, 10u);
}

TEST_F(ClientTest, GoesOnWhenTheServerClosedItsIdleConnection) {
  options_.idle_timeout = absl::Milliseconds(50);
  const Running running = ServeEcho();
  const Client client = ClientOf();
  for (int i = 0; i < 3; ++i) {
    const auto answer = client.Send({});
    ASSERT_TRUE(answer.ok()) << Text(answer.status());
    WaitForStats([](const ServerStats& stats) { return stats.connections_open == 0; });
  }
}

TEST_F(ClientTest, GivesAnAnswerOfAnyStatusWithItsBody) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    const int status = std::stoi(exchange->head().target.substr(1));
    exchange->Respond({.status = status, .headers = {{"Location", "/200"}}, .body = "why"});
  });
  const Client client = ClientOf();
  for (const int status : {200, 302, 308, 400, 401, 404, 429, 500, 503}) {
    const auto answer = client.Send({.target = "/" + std::to_string(status)});
    ASSERT_TRUE(answer.ok()) << Text(answer.status());
    EXPECT_EQ(answer->status, status) << "a redirect is not followed: it would take the key along";
    EXPECT_EQ(answer->body, "why");
  }
}

TEST_F(ClientTest, TakesAnswersWithoutABodyAndInChunks) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().target == "/none") return exchange->Respond({.status = 204});
    exchange->StartResponse(200, {});
    exchange->Write("one ", nullptr);
    exchange->Write("two", nullptr);
    exchange->Finish();
  });
  const Client client = ClientOf();
  EXPECT_EQ(client.Send({.target = "/none"})->status, 204);
  EXPECT_EQ(client.Send({.target = "/chunks"})->body, "one two");
}

TEST_F(ClientTest, RefusesAnAnswerOverItsLimit) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.body = std::string(1001, 'x')});
  });
  const Client client = ClientOf();
  EXPECT_EQ(client.Send({}, 1001)->body.size(), 1001u);
  EXPECT_EQ(ToHttpCode(client.Send({}, 1000).status()), 413);
}

TEST_F(ClientTest, NamesTheUrlWhereNobodyListens) {
  std::string address;
  {
    const Running running = ServeEcho();
    address = server_->address();
  }
  const auto answer = ClientOf(address).Send({.target = "/a?secret=1"});
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(Text(answer.status()), HasSubstr("GET http://" + address + "/a"));
  EXPECT_THAT(Text(answer.status()), Not(HasSubstr("secret")));
}

TEST_F(ClientTest, SaysThatAServerTookTooLong) {
  Promise<std::shared_ptr<Exchange>> held;
  const Running running =
      Serve([&](std::shared_ptr<Exchange> exchange) { held.Set(std::move(exchange)); });
  const Client client = ClientOf({.timeout = absl::Milliseconds(100)});
  const auto answer = client.Send({.target = "/slow"});
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kDeadlineExceeded) << Text(answer.status());
  EXPECT_THAT(Text(answer.status()), HasSubstr("/slow"));
}

TEST_F(ClientTest, SaysThatAnAnswerBrokeOff) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->StartResponse(200, {{"content-length", "10"}});
    exchange->Write("abc", nullptr);
  });
  const Client client = ClientOf();
  EXPECT_EQ(client.Send({}).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client.Download({}, [](std::string_view) { return absl::OkStatus(); }).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(ClientTest, RefusesUrlsThatAreNone) {
  for (const char* url : {"", "localhost:80", "ftp://x", "http://", "http://a b/"}) {
    EXPECT_FALSE(Client::Create(url).ok()) << url;
  }
  const Running running = ServeEcho();
  EXPECT_EQ(ClientOf().Send({.target = "/a b"}).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(ClientTest, UploadsWithItsLengthOrInChunks) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    Exchange& asked = *exchange;
    asked.ReadBody(1 << 20, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      const Headers& headers = exchange->head().headers;
      exchange->Respond({.body = std::string(headers.Get("content-length")) + "|" +
                                 std::string(headers.Get("transfer-encoding")) + "|" +
                                 std::string(headers.Get("content-type")) + "|" + *body});
    });
  });
  const Client client = ClientOf();
  const Request put = {.method = "PUT", .headers = {{"Content-Type", "text/csv"}}};
  std::istringstream whole("0123456789");
  EXPECT_EQ(client.Upload(put, whole, 10)->body, "10||text/csv|0123456789");
  std::istringstream part("0123456789");
  part.seekg(2);
  EXPECT_EQ(client.Upload(put, part, 3)->body, "3||text/csv|234") << "from its position";
  std::istringstream chunks("0123456789");
  EXPECT_EQ(client.Upload(put, chunks, std::nullopt)->body, "|chunked|text/csv|0123456789");
  std::istringstream nothing("");
  EXPECT_EQ(client.Upload(put, nothing, std::nullopt)->body, "|chunked|text/csv|");
  std::istringstream empty("");
  const auto none = client.Upload(put, empty, 0);
  ASSERT_TRUE(none.ok()) << Text(none.status());
  EXPECT_EQ(none->body, "0||text/csv|");
}

TEST_F(ClientTest, SaysThatAStreamEndedBeforeItsLength) {
  const Running running = ServeEcho();
  std::istringstream body("abc");
  const auto answer = ClientOf().Upload({.method = "PUT"}, body, 10);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(Text(answer.status()), HasSubstr("after 3 bytes"));
}

// Reads an upload to its end and answers with its size.
void CountUpload(std::shared_ptr<Exchange> exchange, uint64_t so_far) {
  Exchange& asked = *exchange;
  asked.ReadSome([exchange = std::move(exchange), so_far](absl::StatusOr<std::string> piece) {
    if (!piece.ok()) return;
    if (piece->empty()) return exchange->Respond({.body = std::to_string(so_far)});
    CountUpload(exchange, so_far + piece->size());
  });
}

TEST_F(ClientTest, UploadsAnyLengthInFlatMemoryAndTellsHowFarItIs) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->LimitBody(UINT64_MAX);
    CountUpload(std::move(exchange), 0);
  });
  const Client client = ClientOf();
  for (const bool chunked : {false, true}) {
    MadeBytes bytes(TransferBytes());
    std::istream body(&bytes);
    std::vector<uint64_t> progress;
    const auto answer = client.Upload({.method = "PUT"}, body,
                                      chunked ? std::nullopt : std::optional(TransferBytes()),
                                      [&](uint64_t sent) { progress.push_back(sent); });
    ASSERT_TRUE(answer.ok()) << Text(answer.status());
    EXPECT_EQ(answer->body, std::to_string(TransferBytes()));
    ASSERT_GT(progress.size(), 100u);
    EXPECT_TRUE(std::is_sorted(progress.begin(), progress.end()));
    EXPECT_LT(progress.front(), TransferBytes() / 50);
    EXPECT_EQ(progress.back(), TransferBytes());
    if (!kSanitized) {
      EXPECT_LT(bytes.growth(), 32u << 20) << chunked;
    }
  }
}

TEST_F(ClientTest, DownloadsAnyLengthInFlatMemory) {
  struct Sending : std::enable_shared_from_this<Sending> {
    std::shared_ptr<Exchange> exchange;
    uint64_t left = TransferBytes() >> 16;
    void Next() {
      if (left-- == 0) return exchange->Finish();
      exchange->Write(std::string(64 << 10, 'x'), [self = shared_from_this()](absl::Status status) {
        if (status.ok()) self->Next();
      });
    }
  };
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->StartResponse(200, {{"x-kind", "blob"}});
    auto sending = std::make_shared<Sending>();
    sending->exchange = std::move(exchange);
    sending->Next();
  });
  const uint64_t before = ResidentBytes();
  uint64_t peak = 0;
  uint64_t bytes = 0;
  const auto answer = ClientOf().Download({}, [&](std::string_view piece) {
    bytes += piece.size();
    peak = std::max(peak, ResidentBytes());
    return absl::OkStatus();
  });
  ASSERT_TRUE(answer.ok()) << Text(answer.status());
  EXPECT_EQ(answer->headers.Get("x-kind"), "blob");
  EXPECT_EQ(answer->body, "");
  EXPECT_EQ(bytes, TransferBytes());
  if (!kSanitized) {
    EXPECT_LT(peak - std::min(peak, before), 32u << 20);
  }
}

TEST_F(ClientTest, EndsADownloadWithTheErrorOfItsSink) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.body = std::string(8 << 20, 'x')});
  });
  int calls = 0;
  const auto answer = ClientOf().Download({}, [&](std::string_view) {
    ++calls;
    return StorageFull("/data");
  });
  EXPECT_TRUE(IsStorageFull(answer.status())) << Text(answer.status());
  EXPECT_EQ(calls, 1);
}

TEST_F(ClientTest, KeepsAnErrorsBodyFromTheSink) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    exchange->Respond({.status = 404, .body = "{\"error\":{}}"});
  });
  const auto answer = ClientOf().Download({}, [](std::string_view) {
    ADD_FAILURE() << "the sink saw an error's body";
    return absl::OkStatus();
  });
  EXPECT_EQ(answer->status, 404);
  EXPECT_EQ(answer->body, "{\"error\":{}}");
}

TEST_F(ClientTest, ReadsLinesAsTheyCome) {
  Promise<std::shared_ptr<Exchange>> held;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->StartResponse(200, {});
    held.Set(std::move(exchange));
  });
  // The stream is silent for several times as long as an answer may take to begin.
  const Client client = ClientOf({.timeout = absl::Milliseconds(100)});
  std::vector<std::string> lines;
  Promise<bool> first;
  Promise<absl::StatusOr<Response>> end;
  std::stop_source never;
  std::jthread reading([&] {
    end.Set(client.ReadLines(
        {},
        [&](std::string_view line) {
          lines.emplace_back(line);
          first.Set(true);
          return absl::OkStatus();
        },
        never.get_token()));
  });
  const std::shared_ptr<Exchange> exchange = held.Wait();
  exchange->Write("one\ntw", nullptr);
  EXPECT_TRUE(first.Wait()) << "before the next is sent";
  Promise<bool> silence;
  silence.WaitFor(milliseconds(400));
  exchange->Write("o\n\nthr", nullptr);
  exchange->Write("ee", nullptr);
  exchange->Finish();
  reading.join();
  EXPECT_TRUE(end.Wait().ok()) << Text(end.Wait().status());
  EXPECT_THAT(lines, ElementsAre("one", "two", "", "three"));
}

TEST_F(ClientTest, StopsReadingLinesWhenItIsTold) {
  Promise<bool> gone;
  Promise<std::shared_ptr<Exchange>> held;
  const Running running = Serve([&](std::shared_ptr<Exchange> exchange) {
    exchange->OnCancel([&] { gone.Set(true); });
    exchange->StartResponse(200, {});
    exchange->Write("one\n", nullptr);
    held.Set(std::move(exchange));
  });
  const Client client = ClientOf();
  std::stop_source stop;
  const auto end = client.ReadLines(
      {},
      [&](std::string_view) {
        stop.request_stop();
        return absl::OkStatus();
      },
      stop.get_token());
  EXPECT_EQ(end.status().code(), absl::StatusCode::kCancelled) << Text(end.status());
  EXPECT_TRUE(gone.Wait()) << "the server is told";
}

TEST_F(ClientTest, WaitsNoLongerForTheFirstLineThanForAnyAnswer) {
  Promise<std::shared_ptr<Exchange>> held;
  const Running running =
      Serve([&](std::shared_ptr<Exchange> exchange) { held.Set(std::move(exchange)); });
  const Client client = ClientOf({.timeout = absl::Milliseconds(100)});
  std::stop_source never;
  const auto end = client.ReadLines(
      {}, [](std::string_view) { return absl::OkStatus(); }, never.get_token());
  EXPECT_EQ(end.status().code(), absl::StatusCode::kDeadlineExceeded) << Text(end.status());
}

TEST_F(ClientTest, EndsALineReadWithTheErrorOfItsSinkOrOfTheServer) {
  const Running running = Serve([](std::shared_ptr<Exchange> exchange) {
    if (exchange->head().target == "/404") return exchange->Respond({.status = 404, .body = "x\n"});
    exchange->StartResponse(200, {});
    exchange->Write("one\ntwo\n", nullptr);
  });  // and dropped: the stream breaks off
  const Client client = ClientOf();
  std::stop_source never;
  int lines = 0;
  const auto count = [&](std::string_view) {
    ++lines;
    return absl::OkStatus();
  };
  EXPECT_EQ(client.ReadLines({.target = "/404"}, count, never.get_token())->body, "x\n");
  EXPECT_EQ(lines, 0);
  const auto broken = client.ReadLines({}, count, never.get_token());
  EXPECT_EQ(broken.status().code(), absl::StatusCode::kUnavailable) << Text(broken.status());
  const auto refused = client.ReadLines(
      {}, [](std::string_view) { return absl::DataLossError("no"); }, never.get_token());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kDataLoss) << Text(refused.status());
}

TEST_F(ClientTest, ServesManyThreadsAtOnce) {
  options_.threads = 2;
  const Running running = ServeEcho();
  const Client client = ClientOf();
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 32; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < 30; ++i) {
        const std::string body(100 + caller, 'x');
        const auto answer = client.Send({.method = "POST", .body = body});
        ASSERT_TRUE(answer.ok()) << Text(answer.status());
        ASSERT_EQ(answer->body, "POST / " + body);
      }
    });
  }
}

// `openssl s_server` with a certificate of its own for 127.0.0.1, which answers every GET.
class TlsServer {
 public:
  TlsServer() {
    Run({"req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", folder_ / "key.pem", "-out", certificate(), "-subj", "/CN=test", "-addext",
         "subjectAltName=IP:127.0.0.1", "-days", "2"})
        ->Wait(absl::Seconds(20))
        .IgnoreError();
    server_ = Run({"s_server", "-accept", "127.0.0.1:0", "-cert", certificate(), "-key",
                   folder_ / "key.pem", "-www"});
    // It writes "ACCEPT 127.0.0.1:PORT" once it listens.
    Promise<bool> never;
    for (int i = 0; i < 2000 && address_.empty(); ++i) {
      std::ifstream log(folder_ / "log");
      for (std::string line; std::getline(log, line);) {
        if (line.starts_with("ACCEPT ")) address_ = line.substr(7);
      }
      never.WaitFor(milliseconds(10));
    }
    EXPECT_NE(address_, "") << "openssl s_server did not start";
  }
  ~TlsServer() { server_->Kill(); }

  std::string certificate() const { return folder_ / "cert.pem"; }
  std::string url() const { return "https://" + address_; }

 private:
  std::unique_ptr<Process> Run(std::vector<std::string> args) {
    auto process = launcher_.Launch({.program = "/usr/bin/openssl",
                                     .args = std::move(args),
                                     .env = {},
                                     .log_file = folder_ / "log",
                                     .working_dir = "",
                                     .max_memory_bytes = std::nullopt,
                                     .max_open_files = std::nullopt});
    EXPECT_TRUE(process.ok()) << std::string(process.status().message());
    return *std::move(process);
  }

  const TempDir folder_;
  LocalProcessLauncher launcher_;
  std::unique_ptr<Process> server_;
  std::string address_;
};

class ClientTlsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kSanitized) GTEST_SKIP() << "OpenSSL keeps an error queue for each thread of cpprest's";
  }
};

TEST_F(ClientTlsTest, TrustsTheAuthorityItIsGivenAndNoOther) {
  const TlsServer server;
  const auto trusting = Client::Create(server.url(), {.ca_file = server.certificate()});
  const auto answer = trusting->Send({});
  ASSERT_TRUE(answer.ok()) << std::string(answer.status().message());
  EXPECT_EQ(answer->status, 200);

  const auto stranger = Client::Create(server.url());
  EXPECT_EQ(stranger->Send({}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClientTlsTest, TrustsACertificateForItsOwnNameOnly) {
  const TlsServer server;
  std::string url = server.url();
  url.replace(url.find("127.0.0.1"), 9, "localhost");
  const auto client = Client::Create(url, {.ca_file = server.certificate()});
  EXPECT_EQ(client->Send({}).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ClientTlsTest, RefusesAnAuthorityThatCannotBeRead) {
  const TempDir folder;
  const auto client = Client::Create("https://127.0.0.1:1", {.ca_file = folder / "none.pem"});
  EXPECT_EQ(FieldOf(client.status()), "ca_file");
}

}  // namespace
}  // namespace slipway::http
