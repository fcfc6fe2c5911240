#include <memory>
#include <string>

#include "common/files/files.h"
#include "common/grpc/client.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "tests/integration/grpc/any_server.h"
#include "tests/integration/grpc/wire.h"
#include "tests/support/authority.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

class MutualTlsTest : public ::testing::TestWithParam<Library> {
 protected:
  MutualTlsTest() {
    auto server = StartAny(GetParam(), "localhost:0", ours_.Vouch("a", "localhost"));
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string HealthSeenWith(const TlsFiles& tls) {
    return HealthOf(*OpenChannel({.address = server_->address(), .tls = tls}));
  }

  const TempDir dir_;
  const Authority ours_{dir_, "ours"};
  const Authority theirs_{dir_, "theirs"};
  std::unique_ptr<AnyServer> server_;
};

TEST_P(MutualTlsTest, LetsOurServicesIn) {
  EXPECT_THAT(server_->address(), ::testing::MatchesRegex("localhost:[1-9][0-9]*"));
  EXPECT_EQ(HealthSeenWith(ours_.Vouch("b", "gateway")), "NOT_SERVING");
}

TEST_P(MutualTlsTest, RefusesACallerThatNobodyVouchesFor) {
  TlsFiles stranger = theirs_.Vouch("c", "gateway");
  stranger.ca_file = dir_ / "ours-ca.pem";  // it believes the server, not the other way round
  EXPECT_THAT(HealthSeenWith(stranger), HasSubstr("UNAVAILABLE"));
}

TEST_P(MutualTlsTest, RefusesACallerWithoutACertificate) {
  grpc::SslCredentialsOptions no_certificate;
  no_certificate.pem_root_certs = *ReadFile(dir_ / "ours-ca.pem");
  EXPECT_THAT(
      HealthOf(grpc::CreateChannel(server_->address(), grpc::SslCredentials(no_certificate))),
      HasSubstr("UNAVAILABLE"));
  EXPECT_THAT(HealthOf(grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials())),
              HasSubstr("UNAVAILABLE"));
}

TEST_P(MutualTlsTest, BelievesNoServerThatNobodyVouchesFor) {
  TlsFiles doubter = ours_.Vouch("d", "gateway");
  doubter.ca_file = dir_ / "theirs-ca.pem";
  EXPECT_THAT(HealthSeenWith(doubter), HasSubstr("UNAVAILABLE"));
}

TEST_P(MutualTlsTest, BelievesNoServerUnderAnothersName) {
  const auto impostor = StartAny(GetParam(), "localhost:0", ours_.Vouch("e", "registry"));
  ASSERT_TRUE(impostor.ok());
  const auto channel =
      *OpenChannel({.address = (*impostor)->address(), .tls = ours_.Vouch("f", "gateway")});
  EXPECT_THAT(HealthOf(channel), HasSubstr("UNAVAILABLE"));
}

TEST_P(MutualTlsTest, SharesAPortWithNobody) {
  const auto second = StartAny(GetParam(), server_->address(), ours_.Vouch("g", "localhost"));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
}

INSTANTIATE_TEST_SUITE_P(BothLibraries, MutualTlsTest, kBothLibraries,
                         ::testing::PrintToStringParamName());

}  // namespace
}  // namespace slipway
