#include "common/names/names.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

constexpr char kHex[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

TEST(SlugTest, IsWhatTheRuleSays) {
  for (const char* good : {"a", "acme", "a-b", "a1", "fashion-mnist-2", "a--b"}) {
    EXPECT_TRUE(IsSlug(good)) << good;
  }
  for (const char* bad : {"", "-", "1a", "-a", "a-", "A", "aB", "a_b", "a.b", "a b", "a/b", "..",
                          "\xc3\xa9", "a\n", "%2e", "a%2fb"}) {
    EXPECT_FALSE(IsSlug(bad)) << bad;
  }
  EXPECT_FALSE(IsSlug(std::string_view("a\0", 2)));
  EXPECT_TRUE(IsSlug(std::string(63, 'a')));
  EXPECT_FALSE(IsSlug(std::string(64, 'a')));
}

TEST(SlugTest, IsRefusedByNameAndValue) {
  const absl::Status status = CheckSlug("model_id", "My Model");
  EXPECT_EQ(FieldOf(status), "model_id");
  EXPECT_THAT(std::string(status.message()), HasSubstr("got \"My Model\""));
  EXPECT_TRUE(CheckSlug("model_id", "my-model").ok());
}

TEST(SlugTest, IsNotEchoedWhole) {
  EXPECT_LT(CheckSlug("model_id", std::string(1 << 20, 'A')).message().size(), 400u);
}

TEST(DigestTest, GoesThereAndBack) {
  const auto digest = Digest::Parse("digest", fmt::format("sha256:{}", kHex));
  ASSERT_TRUE(digest.ok()) << digest.status();
  EXPECT_EQ(digest->hex(), kHex);
  EXPECT_EQ(digest->ToString(), fmt::format("sha256:{}", kHex));
  EXPECT_EQ(*digest, Digest::FromHex(kHex));
}

TEST(DigestTest, RefusesEverythingElse) {
  const std::string hex = kHex;
  for (const std::string& bad :
       {std::string(), hex, "sha256:" + hex.substr(1), "sha256:" + hex + "0", "SHA256:" + hex,
        "sha512:" + hex, "sha256:" + hex.substr(1) + "A", "sha256:" + hex.substr(1) + "g",
        "sha256:" + hex.substr(3) + "../", " sha256:" + hex}) {
    EXPECT_EQ(FieldOf(Digest::Parse("digest", bad).status()), "digest") << bad;
  }
}

TEST(TenantNameTest, GoesThereAndBack) {
  EXPECT_EQ(TenantName::Parse("name", "tenants/acme")->tenant, "acme");
  EXPECT_EQ(TenantName{"acme"}.ToString(), "tenants/acme");
}

TEST(ChildNameTest, GoesThereAndBackForEachCollection) {
  EXPECT_EQ(ModelName::Parse("name", "tenants/a/models/m")->ToString(), "tenants/a/models/m");
  EXPECT_EQ(DatasetName::Parse("name", "tenants/a/datasets/d")->ToString(), "tenants/a/datasets/d");
  EXPECT_EQ(JobName::Parse("name", "tenants/a/jobs/j")->ToString(), "tenants/a/jobs/j");
  EXPECT_EQ(DeploymentName::Parse("name", "tenants/a/deployments/d")->ToString(),
            "tenants/a/deployments/d");
  EXPECT_EQ(KeyName::Parse("name", "tenants/a/keys/k")->ToString(), "tenants/a/keys/k");
  const auto model = ModelName::Parse("name", "tenants/acme/models/cnn");
  EXPECT_EQ(model->tenant, "acme");
  EXPECT_EQ(model->id, "cnn");
}

TEST(ChildNameTest, RefusesTheNameOfAnotherCollection) {
  const absl::Status status = ModelName::Parse("name", "tenants/a/datasets/d").status();
  EXPECT_EQ(FieldOf(status), "name");
  EXPECT_EQ(status.message(),
            "name: must look like tenants/{tenant}/models/{id}, got \"tenants/a/datasets/d\"");
}

// Every name that anybody may send lands here first.
TEST(NamesTest, RefuseWhateverIsNoName) {
  const std::vector<std::string> bad = {
      "",
      "/",
      "tenants",
      "tenants/",
      "/tenants/a/models/m",
      "tenants/a/models/m/",
      "tenants//models/m",
      "tenants/a//m",
      "tenants/a/models/",
      "tenants/a/models/m/x",
      "tenants/a/models/..",
      "tenants/../models/m",
      "tenants/a/models/m%2fversions",
      "tenants/a/models/m\\x",
      "tenants/a/models/m;x",
      "tenants/-/models/m",
      "Tenants/a/models/m",
      "tenants/a/models/m\n",
      std::string("tenants/a/models/m\0", 19),
      "tenants/a/models/" + std::string(64, 'm'),
      std::string(1 << 16, '/'),
      std::string(1 << 16, 'a'),
  };
  for (const std::string& name : bad) {
    EXPECT_EQ(FieldOf(ModelName::Parse("name", name).status()), "name") << name.substr(0, 80);
    EXPECT_FALSE(VersionName::Parse("name", name + "/versions/1").ok()) << name.substr(0, 80);
    EXPECT_FALSE(AliasName::Parse("name", name + "/aliases/a").ok()) << name.substr(0, 80);
  }
}

TEST(VersionNameTest, GoesThereAndBack) {
  const auto version = VersionName::Parse("name", "tenants/a/models/m/versions/42");
  ASSERT_TRUE(version.ok()) << version.status();
  EXPECT_EQ(version->number, 42);
  EXPECT_EQ(version->model.id, "m");
  EXPECT_EQ(version->ToString(), "tenants/a/models/m/versions/42");
  const int64_t last = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(VersionName::Parse("n", fmt::format("tenants/a/models/m/versions/{}", last))->number,
            last);
}

TEST(VersionNameTest, CountsFromOneAndHasOneTextANumber) {
  for (const char* number : {"0", "-1", "+1", "01", "1.0", "1e3", " 1", "1 ", "", "latest", "0x1",
                             "9223372036854775808", "18446744073709551617"}) {
    EXPECT_EQ(
        FieldOf(VersionName::Parse("name", fmt::format("tenants/a/models/m/versions/{}", number))
                    .status()),
        "name")
        << number;
  }
}

TEST(AliasNameTest, GoesThereAndBack) {
  const auto alias = AliasName::Parse("name", "tenants/a/models/m/aliases/prod");
  ASSERT_TRUE(alias.ok()) << alias.status();
  EXPECT_EQ(alias->alias, "prod");
  EXPECT_EQ(alias->ToString(), "tenants/a/models/m/aliases/prod");
}

TEST(BlobNameTest, GoesThereAndBack) {
  const std::string name = fmt::format("tenants/a/blobs/sha256:{}", kHex);
  const auto blob = BlobName::Parse("name", name);
  ASSERT_TRUE(blob.ok()) << blob.status();
  EXPECT_EQ(blob->tenant, "a");
  EXPECT_EQ(blob->ToString(), name);
  EXPECT_FALSE(BlobName::Parse("name", "tenants/a/blobs/sha256:..").ok());
  EXPECT_FALSE(BlobName::Parse("name", fmt::format("tenants/A/blobs/sha256:{}", kHex)).ok());
}

TEST(NamesTest, SayTheirTenant) {
  EXPECT_EQ(TenantIn("tenants/acme/models/m"), "acme");
  EXPECT_EQ(TenantIn("tenants/acme"), "acme");
  EXPECT_EQ(TenantIn("prices/p"), "");
  EXPECT_EQ(TenantIn(""), "");
}

TEST(NamesTest, OrderByTheirParts) {
  EXPECT_LT((ModelName{"a", "z"}), (ModelName{"b", "a"}));
  EXPECT_LT((VersionName{{"a", "m"}, 9}), (VersionName{{"a", "m"}, 10}));
}

}  // namespace
}  // namespace slipway
