// A channel and servers that do what they should not, or not at once.

#include <memory>
#include <optional>
#include <string>

#include "common/http/channel/channel.h"
#include "common/http/io/io_threads.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/http/channel_calls.h"
#include "tests/integration/http/scripted_server.h"
#include "tests/support/temp_dir.h"

namespace slipway::http::grpc {
namespace {

using ::testing::HasSubstr;
using Peer = Http2Peer;
using Code = absl::StatusCode;

class ChannelPeersTest : public ::testing::Test {
 protected:
  // No attempt that a call does not ask for, unless a test wants it.
  ChannelOptions Options() {
    ChannelOptions options;
    options.unix_path = path_;
    options.min_backoff = options.max_backoff = absl::Hours(1);
    return options;
  }
  void Open() { Open(Options()); }
  void Open(const ChannelOptions& options) {
    channel_.reset();
    channel_ = *Channel::Open(options, threads_);
  }
  PendingCall Call(absl::Cord message = absl::Cord("question"),
                   absl::Time deadline = absl::InfiniteFuture()) {
    return Start(*channel_,
                 {.method = "/test.Echo/Say", .deadline = deadline, .message = std::move(message)});
  }
  static std::string Headers200(uint32_t stream) {
    return Peer::Make(Peer::kHeaders, Peer::kEndHeaders, stream, Peer::Block({{":status", "200"}}));
  }
  static std::string Trailers(uint32_t stream, const Headers& fields) {
    return Peer::Make(Peer::kHeaders, Peer::kEndHeaders | Peer::kEndStream, stream,
                      Peer::Block(fields));
  }
  static std::string GoAway(uint32_t last, uint32_t error = 0) {
    return Peer::Make(Peer::kGoAway, 0, 0, Peer::Number(last) + Peer::Number(error));
  }

  const TempDir dir_;
  const std::string path_ = dir_ / "s.sock";
  IoThreads threads_{1};
  std::optional<ScriptedServer> server_{path_};
  std::unique_ptr<Channel> channel_;
};

TEST_F(ChannelPeersTest, SendsNoMoreCallsAtOnceThanTheServerTakes) {
  Open();
  const auto peer = server_->Accept();
  peer->SendSettings({{3, 1}});  // SETTINGS_MAX_CONCURRENT_STREAMS
  PendingCall first = Call();
  PendingCall second = Call(absl::Cord("second"));
  EXPECT_EQ(peer->ReadBody(1), Framed("question"));
  // Whatever was to come with the first one would come before the answer to this.
  peer->Send(Peer::Make(Peer::kPing, 0, 0, "12345678"));
  EXPECT_EQ(peer->Read().type, Peer::kPing);
  peer->SendAnswer(1, "one");
  EXPECT_EQ(peer->ReadBody(3), Framed("second"));
  peer->SendAnswer(3, "two");
  EXPECT_EQ(first.Wait().message, "one");
  EXPECT_EQ(second.Wait().message, "two");
}

TEST_F(ChannelPeersTest, ACancelledCallMakesRoomForTheNext) {
  Open();
  const auto peer = server_->Accept();
  peer->SendSettings({{3, 1}});
  PendingCall first = Call();
  PendingCall second = Call();
  peer->ReadBody(1);
  first.call->Cancel();
  EXPECT_EQ(first.Wait().status.code(), Code::kCancelled);
  EXPECT_EQ(peer->ReadUntil(Peer::kReset).stream, 1u);
  peer->ReadBody(3);
  peer->SendAnswer(3, "two");
  EXPECT_EQ(second.Wait().message, "two");
}

TEST_F(ChannelPeersTest, ACallThatWaitsForRoomEndsAtItsDeadlineAndIsNeverSeen) {
  Open();
  const auto peer = server_->Accept();
  peer->SendSettings({{3, 1}});
  PendingCall first = Call();
  peer->ReadBody(1);
  PendingCall second = Call(absl::Cord("late"), Clock::Real().Now() + absl::Milliseconds(20));
  EXPECT_EQ(second.Wait().status.code(), Code::kDeadlineExceeded);
  peer->SendAnswer(1, "one");
  EXPECT_EQ(first.Wait().message, "one");
  PendingCall third = Call(absl::Cord("third"));
  EXPECT_EQ(peer->ReadBody(3), Framed("third"));
}

TEST_F(ChannelPeersTest, KeepsToTheServersWindow) {
  Open();
  const auto peer = server_->Accept();
  peer->SendSettings({{4, 3}});  // SETTINGS_INITIAL_WINDOW_SIZE
  PendingCall call = Call();
  Peer::Frame data = peer->ReadUntil(Peer::kData);
  std::string body = data.payload;
  EXPECT_EQ(body.size(), 3u);
  while ((data.flags & Peer::kEndStream) == 0) {
    peer->Send(Peer::Make(Peer::kWindowUpdate, 0, 1, Peer::Number(4)));
    data = peer->ReadUntil(Peer::kData);
    EXPECT_LE(data.payload.size(), 4u);
    body += data.payload;
  }
  EXPECT_EQ(body, Framed("question"));
  peer->SendAnswer(1, "answer");
  EXPECT_EQ(call.Wait().message, "answer");
}

TEST_F(ChannelPeersTest, CallsThatGoAwayLeavesOutWereNeverSentAndTheOthersAreAnswered) {
  Open();
  const auto peer = server_->AcceptReady();
  PendingCall first = Call();
  PendingCall second = Call();
  peer->ReadBody(1);
  peer->ReadBody(3);
  peer->Send(GoAway(1));
  const Outcome refused = second.Wait();
  EXPECT_EQ(refused.status.code(), Code::kUnavailable);
  EXPECT_TRUE(refused.never_sent);
  PendingCall third = Call(absl::Cord("elsewhere"));
  const auto next = server_->AcceptReady();
  EXPECT_EQ(next->ReadBody(1), Framed("elsewhere"));
  peer->SendAnswer(1, "one");
  EXPECT_EQ(first.Wait().message, "one");
  EXPECT_TRUE(peer->ReadUntil(Peer::kSettings).ended());  // no more is to come there
  next->SendAnswer(1, "three");
  EXPECT_EQ(third.Wait().message, "three");
}

TEST_F(ChannelPeersTest, AServerThatOnlyGoesAwayIsNotAskedAgainAndAgain) {
  Open();
  PendingCall call = Call();
  const auto peer = server_->Accept();
  peer->SendSettings();
  peer->Send(GoAway(0));
  peer->ReadUntil(Peer::kData);
  const Outcome outcome = call.Wait();
  EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
  EXPECT_TRUE(outcome.never_sent);
}

TEST_F(ChannelPeersTest, TellsWhatAResetMeans) {
  Open();
  const auto peer = server_->AcceptReady();
  uint32_t stream = 1;
  for (const auto& [error, code, never_sent] :
       {std::tuple(7U, Code::kUnavailable, true), std::tuple(8U, Code::kCancelled, false),
        std::tuple(2U, Code::kInternal, false), std::tuple(11U, Code::kResourceExhausted, false)}) {
    PendingCall call = Call();
    peer->ReadBody(stream);
    peer->Send(Peer::Make(Peer::kReset, 0, stream, Peer::Number(error)));
    const Outcome outcome = call.Wait();
    EXPECT_EQ(outcome.status.code(), code) << outcome.status;
    EXPECT_EQ(outcome.never_sent, never_sent) << outcome.status;
    stream += 2;
  }
}

TEST_F(ChannelPeersTest, AConnectionThatDiesTellsCallsThatWereSeenFromThoseThatWereNot) {
  Open();
  auto peer = server_->Accept();
  peer->SendSettings({{4, 100}});
  PendingCall seen = Call();
  peer->ReadBody(1);
  PendingCall unseen = Call(absl::Cord(std::string(1000, 'x')));
  peer->ReadUntil(Peer::kData);  // a part of it
  peer.reset();
  const Outcome lost = seen.Wait();
  EXPECT_EQ(lost.status.code(), Code::kUnavailable);
  EXPECT_FALSE(lost.never_sent);
  const Outcome cut = unseen.Wait();
  EXPECT_EQ(cut.status.code(), Code::kUnavailable);
  EXPECT_TRUE(cut.never_sent);
}

TEST_F(ChannelPeersTest, AServerThatSaysNothingIsGivenUp) {
  ChannelOptions options = Options();
  options.connect_timeout = absl::Milliseconds(20);
  Open(options);
  const auto peer = server_->Accept();
  const Outcome outcome = Call().Wait();
  EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
  EXPECT_TRUE(outcome.never_sent);
  EXPECT_FALSE(channel_->reachable());
}

TEST_F(ChannelPeersTest, AServerThatSpeaksSomethingElseIsNotReached) {
  Open();
  PendingCall call = Call();
  const auto peer = server_->Accept();
  peer->Send("HTTP/1.1 400 Bad Request\r\n\r\n");
  const Outcome outcome = call.Wait();
  EXPECT_TRUE(outcome.never_sent);
  EXPECT_FALSE(channel_->reachable());
}

TEST_F(ChannelPeersTest, AServerThatFallsSilentIsAskedAndGivenUp) {
  ChannelOptions options = Options();
  options.keepalive_interval = options.keepalive_timeout = absl::Milliseconds(20);
  Open(options);
  const auto peer = server_->AcceptReady();
  PendingCall call = Call();
  peer->ReadBody(1);
  EXPECT_EQ(peer->ReadUntil(Peer::kPing).payload.size(), 8u);
  const Outcome outcome = call.Wait();
  EXPECT_EQ(outcome.status.code(), Code::kUnavailable);
  EXPECT_FALSE(outcome.never_sent);
}

TEST_F(ChannelPeersTest, AServerThatIsSlowButThereIsWaitedFor) {
  ChannelOptions options = Options();
  options.keepalive_interval = absl::Milliseconds(20);
  options.keepalive_timeout = absl::Hours(1);
  Open(options);
  const auto peer = server_->AcceptReady();
  PendingCall call = Call();
  for (int i = 0; i < 3; ++i) {
    const Peer::Frame ping = peer->ReadUntil(Peer::kPing);
    peer->Send(Peer::Make(Peer::kPing, Peer::kAck, 0, ping.payload));
  }
  peer->SendAnswer(1, "at last");
  EXPECT_EQ(call.Wait().message, "at last");
}

TEST_F(ChannelPeersTest, ABrokenAnswerEndsItsCallAndNoOther) {
  Open();
  const auto peer = server_->AcceptReady();
  PendingCall other = Call();
  peer->ReadBody(1);
  const std::string message = Framed("message");
  const auto data = [](uint32_t stream, std::string_view body) {
    return Peer::Make(Peer::kData, 0, stream, body);
  };
  std::string compressed = message;
  compressed[0] = 1;
  const Headers ok = {{"grpc-status", "0"}};
  struct Case {
    const char* name;
    std::string body;
    Headers trailers;
    Code code;
  };
  const Case cases[] = {
      {"no message", "", ok, Code::kInternal},
      {"half a header", message.substr(0, 3), ok, Code::kInternal},
      {"cut short", message.substr(0, 8), ok, Code::kInternal},
      {"two messages", message + message, ok, Code::kInternal},
      {"compressed", compressed, ok, Code::kInternal},
      {"no status", message, {{"x", "y"}}, Code::kInternal},
      {"a status that is no number", message, {{"grpc-status", "fine"}}, Code::kUnknown},
      {"a status that nobody knows", message, {{"grpc-status", "17"}}, Code::kUnknown},
      {"details that are none",
       "",
       {{"grpc-status", "5"}, {"grpc-message", "gone%"}, {"grpc-status-details-bin", "!"}},
       Code::kNotFound}};
  uint32_t stream = 3;
  for (const Case& broken : cases) {
    PendingCall call = Call();
    peer->ReadBody(stream);
    peer->Send(Headers200(stream) + data(stream, broken.body) + Trailers(stream, broken.trailers));
    const Outcome outcome = call.Wait();
    EXPECT_EQ(outcome.status.code(), broken.code) << broken.name << ": " << outcome.status;
    EXPECT_FALSE(outcome.never_sent) << broken.name;
    stream += 2;
  }
  for (const auto& [http, code] :
       {std::pair("404", Code::kUnimplemented), std::pair("503", Code::kUnavailable),
        std::pair("200", Code::kInternal)}) {
    PendingCall call = Call();
    peer->ReadBody(stream);
    peer->Send(Trailers(stream, {{":status", http}}));
    EXPECT_EQ(call.Wait().status.code(), code) << http;
    stream += 2;
  }
  peer->SendAnswer(1, "well");
  EXPECT_EQ(other.Wait().message, "well");
}

TEST_F(ChannelPeersTest, ABrokenProtocolEndsTheConnectionAndItsCalls) {
  Open();
  const auto peer = server_->AcceptReady();
  PendingCall call = Call();
  peer->ReadBody(1);
  peer->Send(Peer::Make(Peer::kHeaders, Peer::kEndHeaders, 1, "\xff\xff\xff\xff"));
  const Outcome outcome = call.Wait();
  EXPECT_FALSE(outcome.status.ok());
  EXPECT_FALSE(outcome.never_sent);
  PendingCall next = Call();
  const auto again = server_->AcceptReady();
  again->ReadBody(1);
  again->SendAnswer(1, "two");
  EXPECT_EQ(next.Wait().message, "two");
}

TEST_F(ChannelPeersTest, AnotherConnectionFollowsOneThatHasTakenItsCalls) {
  ChannelOptions options = Options();
  options.max_calls_per_connection = 2;
  Open(options);
  const auto peer = server_->AcceptReady();
  PendingCall first = Call();
  PendingCall second = Call();
  peer->ReadBody(1);
  peer->ReadBody(3);
  PendingCall third = Call();
  const auto next = server_->AcceptReady();
  next->ReadBody(1);
  next->SendAnswer(1, "three");
  EXPECT_EQ(third.Wait().message, "three");
  peer->SendAnswer(1, "one");
  peer->SendAnswer(3, "two");
  EXPECT_EQ(first.Wait().message, "one");
  EXPECT_EQ(second.Wait().message, "two");
  EXPECT_TRUE(peer->ReadUntil(Peer::kSettings).ended());
}

TEST_F(ChannelPeersTest, ClosingEndsEveryCall) {
  Open();
  const auto peer = server_->Accept();
  peer->SendSettings({{3, 1}});
  PendingCall sent = Call();
  PendingCall waiting = Call();
  peer->ReadBody(1);
  channel_.reset();
  EXPECT_EQ(sent.Wait().status.code(), Code::kCancelled);
  EXPECT_EQ(waiting.Wait().status.code(), Code::kCancelled);
}

}  // namespace
}  // namespace slipway::http::grpc
