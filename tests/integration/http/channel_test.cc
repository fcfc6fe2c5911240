// A channel and grpc++'s server.

#include "common/http/channel/channel.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "common/grpc/address.h"
#include "common/grpc/server.h"
#include "common/http/io/io_loop.h"
#include "common/http/io/io_threads.h"
#include "gmock/gmock.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "tests/integration/http/channel_calls.h"
#include "tests/integration/http/echo_service.h"
#include "tests/support/authority.h"
#include "tests/support/temp_dir.h"

namespace slipway::http::grpc {
namespace {

using ::testing::HasSubstr;
using Code = absl::StatusCode;

std::string Pattern(size_t size) {
  std::string bytes(size, '\0');
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 2654435761U >> 13);
  return bytes;
}

class ChannelTest : public ::testing::Test {
 protected:
  void StartServer(const TlsFiles& tls = {}) {
    server_.reset();
    service_ = std::make_unique<EchoService>();
    auto server = GrpcServer::Start({.address = address_,
                                     .tls = tls,
                                     .configure =
                                         [this](::grpc::ServerBuilder& builder) {
                                           builder.RegisterCallbackGenericService(service_.get());
                                         }},
                                    {});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  ChannelOptions Options() {
    ChannelOptions options;
    options.unix_path = path_;
    // No attempt that a call does not ask for, unless a test wants it.
    options.min_backoff = options.max_backoff = absl::Hours(1);
    return options;
  }
  // Of the server as it listens now, by that name.
  ChannelOptions NetworkOptions(const TlsFiles& tls, const std::string& host) {
    ChannelOptions options = Options();
    options.unix_path.clear();
    options.host = host;
    options.port = Address::Parse(server_->address())->port;
    options.tls = {
        .certificate = tls.certificate_file, .key = tls.key_file, .authorities = tls.ca_file};
    return options;
  }
  void Open(ChannelOptions options, int threads = 1) {
    channel_.reset();
    threads_ = std::make_unique<IoThreads>(threads);
    channel_ = *Channel::Open(std::move(options), *threads_);
  }
  Outcome Say(absl::Cord message) {
    return Start(*channel_, "/test.Echo/Say", std::move(message)).Wait();
  }

  const TempDir dir_;
  const std::string path_ = dir_ / "s.sock";
  std::string address_ = "unix:" + path_;
  std::unique_ptr<EchoService> service_;
  std::unique_ptr<GrpcServer> server_;
  std::unique_ptr<IoThreads> threads_;
  std::unique_ptr<Channel> channel_;
};

TEST_F(ChannelTest, CarriesMessagesOfAnySize) {
  StartServer();
  Open(Options());
  for (const size_t size : {0UL, 1UL, 5000UL, 70'000UL, 10'000'000UL}) {
    const std::string bytes = Pattern(size);
    const Outcome outcome = Say(absl::Cord(bytes));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_TRUE(outcome.message == bytes) << size;
  }
}

TEST_F(ChannelTest, SendsAMessageFromThePiecesThatItLiesIn) {
  StartServer();
  Open(Options());
  absl::Cord message;
  std::string whole;
  for (const size_t size : {3UL, 100'000UL, 10UL, 2'000'000UL, 5000UL}) {
    const std::string piece = Pattern(size);
    whole += piece;
    auto* const held = new std::string(piece);
    message.Append(absl::MakeCordFromExternal(*held, [held] { delete held; }));
  }
  const Outcome outcome = Say(message);
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_TRUE(outcome.message == whole);
}

TEST_F(ChannelTest, GivesEachOfManyCallsItsOwnAnswer) {
  StartServer();
  Open(Options(), /*threads=*/2);
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([this, caller] {
      std::vector<std::pair<std::string, PendingCall>> calls;
      for (int i = 0; i < 100; ++i) {
        const std::string text = std::to_string(caller * 1000 + i);
        calls.emplace_back(text, Start(*channel_, "/test.Echo/Say", absl::Cord(text)));
      }
      for (auto& [text, call] : calls) EXPECT_EQ(call.Wait().message, text);
    });
  }
}

TEST_F(ChannelTest, AnswersOnTheThreadThatAsks) {
  StartServer();
  Open(Options(), /*threads=*/3);
  for (const std::shared_ptr<IoLoop>& loop : threads_->loops()) {
    std::promise<IoLoop*> where;
    loop->Post([&] {
      channel_->Start({.method = "/test.Echo/Say"},
                      [&](const Outcome&) { where.set_value(IoLoop::Current()); });
    });
    EXPECT_EQ(where.get_future().get(), loop.get());
  }
}

TEST_F(ChannelTest, GivesAStatusAsTheServerMeantIt) {
  StartServer();
  Open(Options());
  for (const absl::Status& status :
       {InvalidField("spec.epochs", "must be > 0"), TooLarge("a message", 12),
        absl::UnavailableError(""), absl::InternalError("ein Übel: 100% \n of it"),
        absl::NotFoundError(std::string(1500, 'x'))}) {
    service_->FailWith(status);
    const Outcome outcome = Start(*channel_, "/test.Echo/Fail").Wait();
    EXPECT_EQ(outcome.status, status);
    EXPECT_FALSE(outcome.never_sent);
  }
  EXPECT_EQ(Start(*channel_, "/test.Echo/Nothing").Wait().status.code(), Code::kUnimplemented);
}

TEST_F(ChannelTest, SendsMetadataAndTheDeadline) {
  StartServer();
  Open(Options());
  Channel::Request request{.method = "/test.Echo/Metadata",
                           .metadata = {{"slipway-principal", "a token"}, {"x-request-id", "r1"}},
                           .message = absl::Cord("slipway-principal")};
  EXPECT_EQ(Start(*channel_, request).Wait().message, "a token");
  request.message = absl::Cord("x-request-id");
  EXPECT_EQ(Start(*channel_, request).Wait().message, "r1");
  for (const absl::Duration timeout : {absl::Seconds(50), absl::Hours(5), absl::Hours(24 * 90)}) {
    const Outcome outcome = Start(*channel_, {.method = "/test.Echo/Deadline",
                                              .deadline = Clock::Real().Now() + timeout})
                                .Wait();
    const int64_t left = std::stoll(std::string(outcome.message));
    EXPECT_LE(left, absl::ToInt64Milliseconds(timeout) + 1000);
    EXPECT_GT(left, absl::ToInt64Milliseconds(timeout) - 40'000);
  }
}

TEST_F(ChannelTest, EndsACallAtItsDeadlineAndTellsTheServer) {
  StartServer();
  Open(Options());
  const Outcome outcome =
      Start(*channel_,
            {.method = "/test.Echo/Hold", .deadline = Clock::Real().Now() + absl::Milliseconds(50)})
          .Wait();
  EXPECT_EQ(outcome.status.code(), Code::kDeadlineExceeded);
  EXPECT_FALSE(outcome.never_sent);
  EXPECT_EQ(Start(*channel_,
                  {.method = "/test.Echo/Say", .deadline = Clock::Real().Now() - absl::Seconds(1)})
                .Wait()
                .status.code(),
            Code::kDeadlineExceeded);
}

TEST_F(ChannelTest, CancelsACallOnBothSides) {
  StartServer();
  Open(Options());
  PendingCall call = Start(*channel_, "/test.Echo/Hold");
  service_->WaitForHeld(1);
  call.call->Cancel();
  EXPECT_EQ(call.Wait().status.code(), Code::kCancelled);
  service_->WaitForCancelled(1);
  call.call->Cancel();  // of no use any more
  EXPECT_TRUE(Say(absl::Cord("on")).status.ok());
}

TEST_F(ChannelTest, RefusesMessagesOverTheLimitAndGoesOn) {
  StartServer();
  ChannelOptions options = Options();
  options.max_message_bytes = 1000;
  Open(options);
  EXPECT_TRUE(Say(absl::Cord(Pattern(1000))).status.ok());
  EXPECT_EQ(Say(absl::Cord(Pattern(1001))).status.code(), Code::kResourceExhausted);
  for (const char* size : {"1001", "5000000"}) {
    EXPECT_EQ(Start(*channel_, "/test.Echo/Size", absl::Cord(size)).Wait().status.code(),
              Code::kResourceExhausted);
  }
  EXPECT_TRUE(Say(absl::Cord("on")).status.ok());
}

TEST_F(ChannelTest, ACallTriesAtOnceWhateverTheAttemptsBefore) {
  Open(Options());
  for (int i = 0; i < 3; ++i) {
    const Outcome outcome = Say(absl::Cord("anyone?"));
    EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
    EXPECT_TRUE(outcome.never_sent);
    EXPECT_FALSE(channel_->reachable());
  }
  StartServer();
  EXPECT_TRUE(Say(absl::Cord("now")).status.ok());
  EXPECT_TRUE(channel_->reachable());
}

TEST_F(ChannelTest, FindsAServerAgainWithoutACall) {
  ChannelOptions options = Options();
  options.min_backoff = options.max_backoff = absl::Milliseconds(1);
  Open(options);
  while (channel_->reachable()) std::this_thread::yield();
  StartServer();
  while (!channel_->reachable()) std::this_thread::yield();
  server_.reset();
  while (channel_->reachable()) std::this_thread::yield();
}

TEST_F(ChannelTest, GoesOnWithAServerThatStartsAgain) {
  StartServer();
  Open(Options());
  EXPECT_TRUE(Say(absl::Cord("one")).status.ok());
  PendingCall held = Start(*channel_, "/test.Echo/Hold");
  service_->WaitForHeld(1);
  server_.reset();
  const Outcome broken = held.Wait();
  EXPECT_FALSE(broken.status.ok());
  EXPECT_FALSE(broken.never_sent);
  EXPECT_TRUE(Say(absl::Cord("nobody")).never_sent);
  StartServer();
  EXPECT_TRUE(Say(absl::Cord("two")).status.ok());
}

TEST_F(ChannelTest, ANameThatNobodyKnowsIsNeverSent) {
  const Authority ours(dir_, "ours");
  address_ = "localhost:0";
  StartServer(ours.Vouch("a", "localhost"));
  Open(NetworkOptions(ours.Vouch("b", "gateway"), "no such host"));
  const Outcome outcome = Say(absl::Cord("anyone?"));
  EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
  EXPECT_TRUE(outcome.never_sent);
}

class ChannelTlsTest : public ChannelTest {
 protected:
  ChannelTlsTest() { address_ = "localhost:0"; }

  const Authority ours_{dir_, "ours"};
  const Authority theirs_{dir_, "theirs"};
  const TlsFiles files_ = ours_.Vouch("gateway", "gateway");
};

TEST_F(ChannelTlsTest, CarriesMessagesOfAnySize) {
  StartServer(ours_.Vouch("a", "localhost"));
  Open(NetworkOptions(files_, "localhost"));
  for (const size_t size : {0UL, 20'000UL, 3'000'000UL}) {
    const std::string bytes = Pattern(size);
    const Outcome outcome = Say(absl::Cord(bytes));
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_TRUE(outcome.message == bytes) << size;
  }
}

TEST_F(ChannelTlsTest, BelievesNoServerUnderAnothersName) {
  StartServer(ours_.Vouch("a", "registry"));
  Open(NetworkOptions(files_, "localhost"));
  const Outcome outcome = Say(absl::Cord("secret"));
  EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
  EXPECT_TRUE(outcome.never_sent);
}

TEST_F(ChannelTlsTest, BelievesNoServerUnderAnAddressThatItDoesNotName) {
  StartServer(ours_.Vouch("a", "localhost"));
  Open(NetworkOptions(files_, "127.0.0.1"));
  EXPECT_TRUE(Say(absl::Cord("secret")).never_sent);
}

TEST_F(ChannelTlsTest, BelievesNoServerThatNobodyVouchesFor) {
  StartServer(ours_.Vouch("a", "localhost"));
  TlsFiles doubter = files_;
  doubter.ca_file = theirs_.ca_file();
  Open(NetworkOptions(doubter, "localhost"));
  EXPECT_TRUE(Say(absl::Cord("secret")).never_sent);
}

TEST_F(ChannelTlsTest, IsNotBelievedWhereNobodyVouchesForIt) {
  StartServer(ours_.Vouch("a", "localhost"));
  TlsFiles stranger = theirs_.Vouch("b", "gateway");
  stranger.ca_file = ours_.ca_file();
  Open(NetworkOptions(stranger, "localhost"));
  EXPECT_EQ(Say(absl::Cord("let me in")).status.code(), Code::kUnavailable);
}

TEST_F(ChannelTlsTest, ShowsTheCertificateThatIsThereWhenItConnects) {
  StartServer(ours_.Vouch("a", "localhost"));
  TlsFiles files = theirs_.Vouch("b", "gateway");
  files.ca_file = ours_.ca_file();
  Open(NetworkOptions(files, "localhost"));
  EXPECT_FALSE(Say(absl::Cord("let me in")).status.ok());
  ours_.Vouch("b", "gateway");  // into the same files
  EXPECT_TRUE(Say(absl::Cord("let me in")).status.ok());
}

TEST_F(ChannelTlsTest, RefusesFilesThatCannotBeUsed) {
  StartServer(ours_.Vouch("a", "localhost"));
  TlsFiles files = files_;
  files.key_file = dir_ / "absent";
  IoThreads threads(1);
  const auto channel = Channel::Open(NetworkOptions(files, "localhost"), threads);
  EXPECT_EQ(channel.status().code(), Code::kInvalidArgument);
  EXPECT_THAT(std::string(channel.status().message()), HasSubstr("absent"));
}

}  // namespace
}  // namespace slipway::http::grpc
