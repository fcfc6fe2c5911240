#include "services/controller/deployment.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::controller {
namespace {

TEST(VersionReferenceTest, NamesOneVersion) {
  const auto reference =
      VersionReference::Parse("deployment.model_version", "tenants/acme/models/cnn/versions/3");
  ASSERT_TRUE(reference.ok()) << reference.status();
  EXPECT_FALSE(reference->IsAlias());
  EXPECT_EQ(reference->tenant(), "acme");
  ASSERT_TRUE(reference->Version().has_value());
  EXPECT_EQ(reference->Version()->number, 3);
  EXPECT_EQ(reference->ToString(), "tenants/acme/models/cnn/versions/3");
}

TEST(VersionReferenceTest, NamesAnAliasThatMayMove) {
  const auto reference =
      VersionReference::Parse("deployment.model_version", "tenants/acme/models/cnn/aliases/prod");
  ASSERT_TRUE(reference.ok()) << reference.status();
  EXPECT_TRUE(reference->IsAlias());
  EXPECT_EQ(reference->tenant(), "acme");
  EXPECT_FALSE(reference->Version().has_value());
  EXPECT_EQ(reference->ToString(), "tenants/acme/models/cnn/aliases/prod");
}

TEST(VersionReferenceTest, RefusesEverythingElseNamingTheField) {
  for (const char* name :
       {"", "cnn", "tenants/acme/models/cnn", "tenants/acme/models/cnn/versions/0",
        "tenants/acme/models/cnn/versions/latest", "tenants/acme/models/../aliases/prod"}) {
    const auto reference = VersionReference::Parse("deployment.model_version", name);
    ASSERT_FALSE(reference.ok()) << name;
    EXPECT_EQ(FieldOf(reference.status()), "deployment.model_version") << name;
  }
}

}  // namespace
}  // namespace slipway::controller
