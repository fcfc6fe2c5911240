#include "common/grpc/client.h"

#include <cstdlib>
#include <memory>
#include <string>

#include "common/grpc/server.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "tests/integration/grpc/wire.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

TEST(OpenChannelTest, RefusesWhatIsNoAddressAndPlainTextOverTheNetwork) {
  EXPECT_FALSE(OpenChannel({.address = "nonsense"}).ok());
  EXPECT_THAT(std::string(OpenChannel({.address = "registry:9000"}).status().message()),
              HasSubstr("mutual TLS"));
}

TEST(OpenChannelTest, NeedsNobodyThereYet) {
  const TempDir dir;
  const auto channel = OpenChannel({.address = "unix:" + (dir / "a.sock")});
  ASSERT_TRUE(channel.ok());
  const absl::Status absent = WaitForReady(**channel, absl::Milliseconds(200));
  EXPECT_EQ(absent.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(absent.message()), HasSubstr("200ms"));

  const auto server = GrpcServer::Start({.address = "unix:" + (dir / "a.sock")}, {});
  ASSERT_TRUE(server.ok());
  EXPECT_TRUE(WaitForReady(**channel, absl::Seconds(20)).ok());
}

TEST(OpenChannelTest, FindsAServiceThatWasStartedAgain) {
  const TempDir dir;
  const std::string address = "unix:" + (dir / "a.sock");
  const auto channel = *OpenChannel({.address = address});
  for (int i = 0; i < 3; ++i) {
    const auto server = GrpcServer::Start({.address = address}, {});
    ASSERT_TRUE(server.ok()) << server.status();
    // A call that goes out before the channel has noticed its old connection's end fails with it.
    std::string health;
    for (int tries = 0; tries < 100 && health != "NOT_SERVING"; ++tries) {
      ASSERT_TRUE(WaitForReady(*channel, absl::Seconds(20)).ok());
      health = HealthOf(channel);
    }
    EXPECT_EQ(health, "NOT_SERVING");
  }
}

}  // namespace
}  // namespace slipway
