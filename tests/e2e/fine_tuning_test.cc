// A version is gone on from by its alias, over the whole platform; another tenant's is not there.

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Goes on from a version with adapters of rank 4.
json TuningSpec(const std::string& base) {
  json spec = PictureSpec(2);
  spec.erase("architecture");
  spec["data"].erase("scale");
  spec["base"] = {{"version", base}, {"lora", {{"rank", 4}}}};
  return spec;
}

TEST(FineTuningTest, AVersionIsGoneOnFromAndTheNextServesAsOneLikeAnyOther) {
  Platform platform;
  ASSERT_TRUE(platform.Start().ok()) << platform.Logs();
  const World acme(platform, "acme");
  const World rival(platform, "rival");
  ASSERT_TRUE(acme.status().ok()) << acme.status();
  ASSERT_TRUE(rival.status().ok()) << rival.status();

  json first = PictureSpec(5);
  first["alias"] = "best";
  ASSERT_EQ((*acme.Train("first", first))["state"], "SUCCEEDED") << platform.Logs();

  const auto second = acme.Train("second", TuningSpec("models/halves/aliases/best"));
  ASSERT_TRUE(second.ok()) << second.status();
  ASSERT_EQ((*second)["state"], "SUCCEEDED") << *second << platform.Logs();
  EXPECT_EQ((*second)["spec"]["base"]["version"], acme.Name("models/halves/versions/1"));
  EXPECT_EQ((*second)["modelVersion"], acme.Name("models/halves/versions/2"));
  const json version = acme.owner().Get(acme.Path("models/halves/versions/2")).json();
  EXPECT_EQ(version["lineage"]["baseVersion"], acme.Name("models/halves/versions/1"));
  const absl::Status deployed = acme.Deploy("tuned", (*second)["modelVersion"]);
  ASSERT_TRUE(deployed.ok()) << deployed << platform.Logs();
  EXPECT_TRUE(acme.Predict("tuned").ok());

  for (const std::string& base :
       {acme.Name("models/halves/versions/1"), acme.Name("models/halves/aliases/best"),
        std::string("models/halves/versions/1")}) {
    const Answer answer = rival.owner().Post(rival.Path("jobs"), {{"spec", TuningSpec(base)}});
    EXPECT_EQ(answer.status, 400) << answer.body;
    EXPECT_EQ(answer.json()["error"]["field"], "spec.base.version") << answer.body;
    EXPECT_THAT(answer.body, HasSubstr("was not found"));
  }
}

}  // namespace
}  // namespace slipway::e2e
