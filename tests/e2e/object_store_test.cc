// Jobs whose data are objects of a real S3 server.

#include <string>

#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"
#include "tests/support/s3_server.h"
#include "tests/support/temp_dir.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class ObjectStoreTest : public ::testing::Test {
 protected:
  ObjectStoreTest() {
    Write("access", S3Server::kReaderKey);
    Write("secret", S3Server::kReaderSecret);
    const json stores = {{{"name", "lake"},
                          {"endpoint", server_.endpoint()},
                          {"bucket", S3Server::kBucket},
                          {"access_key_file", secrets_ / "access"},
                          {"secret_key_file", secrets_ / "secret"},
                          {"grants", {{{"tenant", "*"}, {"prefix", "{tenant}/in"}}}}}};
    ::setenv("SLIPWAY_TRAINING_OBJECT_STORES", stores.dump().c_str(), 1);
    Put(1);
  }
  ~ObjectStoreTest() override { ::unsetenv("SLIPWAY_TRAINING_OBJECT_STORES"); }

  void Write(const std::string& name, const std::string& secret) {
    ASSERT_TRUE(WriteFileAtomically(secrets_ / name, secret + "\n", 0600).ok());
  }

  void Put(uint32_t seed) {
    const Pictures train = MakePictures(640, seed);
    const Pictures test = MakePictures(100, seed + 1);
    server_.Put("acme/in/train-images", train.images);
    server_.Put("acme/in/train-labels", train.labels);
    server_.Put("acme/in/test-images", test.images);
    server_.Put("acme/in/test-labels", test.labels);
  }

  static json ObjectSpec() {
    json spec = PictureSpec(5);
    spec.erase("dataset");
    spec["data"]["source"] = {{"store", "lake"}, {"prefix", "acme/in"}};
    return spec;
  }

  S3Server server_;
  const TempDir secrets_;
};

TEST_F(ObjectStoreTest, AJobIsTrainedOnObjectsWhichBecomeADataset) {
  Platform platform;
  ASSERT_TRUE(platform.Start().ok()) << platform.Logs();
  const World acme(platform, "acme");
  const World rival(platform, "rival");
  ASSERT_TRUE(acme.status().ok() && rival.status().ok()) << acme.status() << rival.status();

  const Answer plan = acme.owner().Post(acme.Path("jobs:plan"), {{"spec", ObjectSpec()}});
  ASSERT_TRUE(plan.ok()) << plan.body;
  EXPECT_EQ(plan.json()["trainRows"], "640");

  const auto first = acme.Train("first", ObjectSpec());
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ((*first)["state"], "SUCCEEDED") << *first << platform.Logs();
  const std::string dataset = (*first)["spec"]["dataset"];
  EXPECT_THAT(dataset, StartsWith("objects-"));
  const json kept = acme.owner().Get(acme.Path("datasets/" + dataset)).json();
  EXPECT_EQ(kept["files"].size(), 4u) << kept;
  const std::string version = (*first)["modelVersion"];
  const json lineage = acme.owner().Get("/api/v1/" + version).json()["lineage"];
  EXPECT_EQ(lineage["dataset"], acme.Name("datasets/" + dataset));
  EXPECT_EQ(lineage["datasetDigest"], kept["digest"]);

  // The same objects are the same dataset, others another.
  EXPECT_EQ((*acme.Train("second", ObjectSpec()))["spec"]["dataset"], dataset);
  Put(7);
  const auto third = acme.Train("third", ObjectSpec());
  ASSERT_EQ((*third)["state"], "SUCCEEDED") << *third;
  EXPECT_NE((*third)["spec"]["dataset"], dataset);

  // What is another's, or nobody's, is refused by the field.
  const auto field_of = [](const World& world, const json& spec) {
    const Answer answer = world.owner().Post(world.Path("jobs"), {{"spec", spec}});
    EXPECT_EQ(answer.status, 400) << answer.body;
    return answer.json()["error"].value("field", "");
  };
  EXPECT_EQ(field_of(rival, ObjectSpec()), "spec.data.source.prefix");
  json spec = ObjectSpec();
  spec["data"]["source"]["store"] = "pond";
  EXPECT_EQ(field_of(acme, spec), "spec.data.source.store");
  spec = ObjectSpec();
  spec["data"]["train"]["inputs"] = "no-such";
  EXPECT_EQ(field_of(acme, spec), "spec.data.train.inputs");

  // Keys of access are in no log.
  EXPECT_THAT(platform.Logs(), Not(HasSubstr(S3Server::kReaderSecret)));
}

}  // namespace
}  // namespace slipway::e2e
