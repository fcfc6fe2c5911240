#include "common/identity/trust.h"

#include <sys/stat.h>

#include <string>

#include "common/files/files.h"
#include "common/identity/token.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

class LoadOrCreateIdentityTest : public ::testing::Test {
 protected:
  absl::StatusOr<Ed25519PrivateKey> Load() {
    return LoadOrCreateIdentity(ServiceId::kGateway, own_.path().string(), trust_.path().string());
  }
  const TempDir own_;
  const TempDir trust_;
};

TEST_F(LoadOrCreateIdentityTest, MakesAKeyOnceAndPublishesIt) {
  const auto first = Load();
  ASSERT_TRUE(first.ok()) << first.status();
  const auto second = Load();
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_EQ(first->Sign("x"), second->Sign("x"));
  const auto trusted = LoadTrustedKeys(trust_.path().string());
  ASSERT_TRUE(trusted.ok());
  ASSERT_EQ(trusted->size(), 1u);
  EXPECT_TRUE(trusted->at(ServiceId::kGateway)[0].Verify("x", first->Sign("x")));
}

TEST_F(LoadOrCreateIdentityTest, PublishesAgainWhereThePublicHalfIsLostOrBroken) {
  const auto key = Load();
  for (const char* content : {"", "hello"}) {
    ASSERT_TRUE(WriteFileAtomically(trust_ / "gateway.pub", content).ok());
    ASSERT_TRUE(Load().ok());
    EXPECT_EQ(*ReadFile(trust_ / "gateway.pub"), key->public_key().ToPem());
  }
}

TEST_F(LoadOrCreateIdentityTest, LeavesAFileAloneThatHoldsItsKeyAmongOthers) {
  const auto key = Load();
  const std::string both =
      Ed25519PrivateKey::Generate().public_key().ToPem() + key->public_key().ToPem();
  ASSERT_TRUE(WriteFileAtomically(trust_ / "gateway.pub", both).ok());
  ASSERT_TRUE(Load().ok());
  EXPECT_EQ(*ReadFile(trust_ / "gateway.pub"), both);
}

TEST_F(LoadOrCreateIdentityTest, MakesNoNewKeyWhereTheOldOneCannotBeUsed) {
  ASSERT_TRUE(Load().ok());
  ASSERT_EQ(::chmod((own_ / "gateway.key").c_str(), 0644), 0);
  EXPECT_FALSE(Load().ok());
}

}  // namespace
}  // namespace slipway
