#include "common/identity/principal.h"

#include <vector>

#include "common/identity/token.h"
#include "gtest/gtest.h"

namespace slipway {
namespace {

TEST(RoleTest, IncludesAsTheGlossarySays) {
  const std::vector<Role> roles = {Role::kNone,      Role::kViewer, Role::kCaller,
                                   Role::kDeveloper, Role::kOwner,  Role::kOperator};
  // Rows: who has it; columns: kViewer, kCaller, kDeveloper, kOwner, kOperator is needed.
  const bool expected[6][5] = {
      {false, false, false, false, false}, {true, false, false, false, false},
      {false, true, false, false, false},  {true, true, true, false, false},
      {true, true, true, true, false},     {true, true, true, true, true},
  };
  for (size_t have = 0; have < roles.size(); ++have) {
    EXPECT_FALSE(Includes(roles[have], Role::kNone));
    for (size_t need = 1; need < roles.size(); ++need) {
      EXPECT_EQ(Includes(roles[have], roles[need]), expected[have][need - 1])
          << "have " << have << ", need " << need;
    }
  }
}

TEST(RoleTest, ANumberThatIsNoRoleMayNothing) {
  for (const int number : {6, 7, 99}) {
    EXPECT_FALSE(Includes(static_cast<Role>(number), Role::kViewer));
    EXPECT_FALSE(Includes(Role::kOperator, static_cast<Role>(number)));
  }
}

TEST(PrincipalTest, TouchesItsOwnTenantOnlyUnlessItIsTheOperator) {
  Principal principal{.tenant = "acme", .role = Role::kOwner};
  EXPECT_TRUE(principal.MayAccess("acme"));
  EXPECT_FALSE(principal.MayAccess("acm"));
  EXPECT_FALSE(principal.MayAccess("acme2"));
  EXPECT_FALSE(principal.MayAccess(""));
  EXPECT_TRUE((Principal{.role = Role::kOperator}).MayAccess("acme"));
}

TEST(PrincipalTest, WithoutATenantTouchesNothing) {
  EXPECT_FALSE((Principal{.role = Role::kOwner}).MayAccess("acme"));
  EXPECT_FALSE((Principal{.role = Role::kOwner}).MayAccess(""));
}

TEST(PrincipalTest, ScopesHoldNamesAndWhatIsBelowThem) {
  const Principal principal{.scopes = {"tenants/a/jobs/j1", "tenants/a/models/m"}};
  EXPECT_TRUE(principal.InScope("tenants/a/jobs/j1"));
  EXPECT_TRUE(principal.InScope("tenants/a/models/m/versions/3"));
  EXPECT_FALSE(principal.InScope("tenants/a/jobs/j12"));
  EXPECT_FALSE(principal.InScope("tenants/a/jobs/j"));
  EXPECT_FALSE(principal.InScope("tenants/a"));
  EXPECT_FALSE(principal.InScope(""));
  EXPECT_TRUE(Principal().InScope("tenants/a/jobs/j1"));
}

TEST(ServiceTest, NamesGoThereAndBack) {
  for (int i = 1; i <= 6; ++i) {
    const auto service = static_cast<ServiceId>(i);
    EXPECT_EQ(ServiceByName(ServiceName(service)), service);
  }
  EXPECT_EQ(ServiceName(ServiceId::kNone), "");
  EXPECT_EQ(ServiceByName("Gateway"), ServiceId::kNone);
  EXPECT_EQ(ServiceByName(""), ServiceId::kNone);
}

TEST(ServiceTest, EachIssuerSpeaksForItsOwnCallersOnly) {
  const auto may = [](ServiceId issuer) {
    std::vector<ServiceId> callers;
    for (int i = 0; i <= 6; ++i) {
      if (MaySpeakFor(issuer, static_cast<ServiceId>(i))) {
        callers.push_back(static_cast<ServiceId>(i));
      }
    }
    return callers;
  };
  EXPECT_EQ(may(ServiceId::kGateway), std::vector{ServiceId::kGateway});
  EXPECT_EQ(may(ServiceId::kTraining), (std::vector{ServiceId::kTraining, ServiceId::kTrainer}));
  EXPECT_EQ(may(ServiceId::kController), (std::vector{ServiceId::kController, ServiceId::kWorker}));
  for (const ServiceId none :
       {ServiceId::kNone, ServiceId::kRegistry, ServiceId::kTrainer, ServiceId::kWorker}) {
    EXPECT_TRUE(may(none).empty());
  }
}

}  // namespace
}  // namespace slipway
