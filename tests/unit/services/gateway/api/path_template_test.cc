#include "services/gateway/api/path_template.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

std::optional<PathTemplate::Variables> Match(std::string_view text, std::string_view path) {
  const auto parsed = PathTemplate::Parse(text);
  EXPECT_TRUE(parsed.ok()) << parsed.status();
  const auto request = RequestPath::Parse(path);
  EXPECT_TRUE(request.ok()) << request.status();
  return parsed->Match(*request);
}

TEST(PathTemplateTest, BindsAVariableOverItsSegments) {
  EXPECT_THAT(*Match("/api/v1/{name=tenants/*/models/*}", "/api/v1/tenants/acme/models/m"),
              ElementsAre(Pair("name", "tenants/acme/models/m")));
  EXPECT_THAT(*Match("/api/v1/{parent=tenants/*}/keys", "/api/v1/tenants/acme/keys"),
              ElementsAre(Pair("parent", "tenants/acme")));
  EXPECT_THAT(*Match("/v/{alias.name=a/*}", "/v/a/x"), ElementsAre(Pair("alias.name", "a/x")));
  EXPECT_THAT(*Match("/v/{id}", "/v/x"), ElementsAre(Pair("id", "x")));
  EXPECT_THAT(*Match("/api/v1/tenants", "/api/v1/tenants"), IsEmpty());
}

TEST(PathTemplateTest, MatchesOnlyTheWholePath) {
  constexpr char kTemplate[] = "/api/v1/{name=tenants/*/models/*}";
  for (const char* path :
       {"/api/v1/tenants/acme/models", "/api/v1/tenants/acme/models/m/",
        "/api/v1/tenants//models/m", "/api/v1/tenants/acme/models/", "/api/v1/tenants/acme/jobs/m",
        "/", "//", "/api/v1/tenants/acme/models/m/versions", "/API/v1/tenants/acme/models/m"}) {
    EXPECT_FALSE(Match(kTemplate, path).has_value()) << path;
  }
}

TEST(PathTemplateTest, AnEncodedSlashNeverBecomesASeparator) {
  EXPECT_FALSE(Match("/v/{name=tenants/*}", "/v/tenants/a%2Fmodels%2Fb").has_value());
  EXPECT_FALSE(Match("/v/{name=tenants/*/models/*}", "/v/tenants/a%2Fmodels%2Fb").has_value());
  EXPECT_FALSE(Match("/v/{name=tenants/*}", "/v/tenants%2Fa").has_value());
}

TEST(PathTemplateTest, DecodesEachSegment) {
  EXPECT_THAT(*Match("/v/{name=blobs/*}", "/v/blobs/sha256%3Aab"),
              ElementsAre(Pair("name", "blobs/sha256:ab")));
  EXPECT_THAT(*Match("/v/{name=blobs/*}", "/v/%62lobs/x"), ElementsAre(Pair("name", "blobs/x")));
}

TEST(PathTemplateTest, AVerbIsTheUnencodedEndOfTheLastSegment) {
  EXPECT_THAT(*Match("/v/{name=blobs/*}:download", "/v/blobs/sha256:ab:download"),
              ElementsAre(Pair("name", "blobs/sha256:ab")));
  EXPECT_FALSE(Match("/v/{name=blobs/*}:download", "/v/blobs/sha256:ab").has_value());
  EXPECT_FALSE(Match("/v/{name=blobs/*}:download", "/v/blobs/sha256%3Adownload").has_value());
  EXPECT_FALSE(Match("/v/{name=blobs/*}:download", "/v/blobs/:download").has_value());
}

TEST(PathTemplateTest, ShapeForgetsTheVariables) {
  EXPECT_EQ(PathTemplate::Parse("/v/{name=a/*}:stop")->Shape(), "/v/a/*:stop");
  EXPECT_EQ(PathTemplate::Parse("/v/a/{id}:stop")->Shape(), "/v/a/*:stop");
}

TEST(PathTemplateTest, WritesOpenApiPathsByTheirCollections) {
  const auto parsed = PathTemplate::Parse("/v1/{name=tenants/*/models/*/aliases/*}:move");
  EXPECT_EQ(parsed->OpenApiPath(), "/v1/tenants/{tenant}/models/{model}/aliases/{alias}:move");
  EXPECT_THAT(parsed->OpenApiNames(), ElementsAre("tenant", "model", "alias"));
}

TEST(PathTemplateTest, RefusesWhatItDoesNotSupport) {
  for (const char* text : {"", "v1", "/", "/v1/", "/{name=a/**}", "/{name", "/{=a/*}", "/a//b",
                           "/{a=b}c", "/a*", "/v1:", "/{a={b}}"}) {
    EXPECT_FALSE(PathTemplate::Parse(text).ok()) << text;
  }
}

TEST(RequestPathTest, RefusesBrokenEncodingsAndEndlessPaths) {
  for (const std::string path : {"/a/%", "/a/%2", "/a/%zz", "/a/%00", "a", ""}) {
    EXPECT_FALSE(RequestPath::Parse(path).ok()) << path;
  }
  std::string long_path;
  for (int i = 0; i < 1000; ++i) long_path += "/a";
  EXPECT_FALSE(RequestPath::Parse(long_path).ok());
}

TEST(PathTemplateTest, KnowsWhetherANameHasAVariablesForm) {
  const auto path = PathTemplate::Parse("/api/v1/{parent=tenants/*/models/*}/versions/{id}");
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(path->Form(0), "tenants/*/models/*");
  EXPECT_TRUE(path->Fits(0, "tenants/a/models/b"));
  EXPECT_TRUE(path->Fits(1, "7"));
  for (const char* name : {"", "tenants", "tenants/a/models", "tenants/a/models/",
                           "tenants//models/b", "tenants/a/models/b/", "/tenants/a/models/b",
                           "tenants/a/jobs/b", "tenants/a/models/b/c", "a/tenants/b/models"}) {
    EXPECT_FALSE(path->Fits(0, name)) << name;
  }
}

}  // namespace
}  // namespace slipway::gateway
