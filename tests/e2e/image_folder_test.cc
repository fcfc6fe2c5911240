// A folder of pictures, uploaded by the command line, trained on and served.

#include <filesystem>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"
#include "tests/support/temp_dir.h"
#include "tests/support/training/picture_files.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;

TEST(ImageFolderTest, AFolderOfPicturesIsUploadedTrainedOnAndServed) {
  Platform platform;
  ASSERT_TRUE(platform.Start().ok()) << platform.Logs();
  const World acme(platform, "acme");
  ASSERT_TRUE(acme.status().ok()) << acme.status();
  const TempDir folder;
  for (int i = 0; i < 20; ++i) {
    for (const char* shade : {"dark", "light"}) {
      const std::string path = folder / fmt::format("train/{}/{}.png", shade, i);
      std::filesystem::create_directories(std::filesystem::path(path).parent_path());
      const int grey = (*shade == 'd' ? 20 : 200) + i;
      const std::vector<uint8_t> pixels(12 * 10 * 3, static_cast<uint8_t>(grey));
      ASSERT_TRUE(WriteFileAtomically(path, Png(12, 10, pixels)).ok());
    }
  }
  ASSERT_TRUE(acme.Cli({"dataset", "upload", "shades", folder.path().string()})) << acme.Output();

  json spec = {{"model", "shades"},
               {"dataset", "shades"},
               {"data",
                {{"format", "images"},
                 {"train", {{"inputs", "train"}}},
                 {"test_fraction", 0.2},
                 {"split", {{"method", "stratified"}}},
                 {"image", {{"height", 8}, {"width", 8}, {"channels", 1}}},
                 {"augment", {{"flip", true}, {"shift", 1}}},
                 {"scale", 255}}},
               {"architecture", {{"type", "cnn"}, {"channels", {4}}}},
               {"loss", {{"type", "cross_entropy"}}},
               {"optimizer", {{"type", "adam"}, {"learning_rate", 0.01}}},
               {"training", {{"epochs", 20}, {"batch_size", 8}, {"seed", 1}}},
               {"evaluation", {{"at_least", {{"accuracy", 0.9}}}}}};
  const auto job = acme.Train("shades", spec);
  ASSERT_TRUE(job.ok()) << job.status();
  ASSERT_EQ((*job)["state"], "SUCCEEDED") << *job << platform.Logs();
  ASSERT_TRUE(acme.owner()
                  .Post(acme.Path("deployments"), {{"modelVersion", (*job)["modelVersion"]}},
                        {{"deploymentId", "shades"}})
                  .ok());
  // As a decoder gives them: the worker scales them and makes them grey.
  const std::vector<int> pixels(12 * 10 * 3, 25);
  const auto predict = [&] {
    return acme.owner().Post("/v2/models/shades/infer", {{"inputs",
                                                          {{{"name", "image"},
                                                            {"datatype", "UINT8"},
                                                            {"shape", {1, 12, 10, 3}},
                                                            {"data", pixels}}}}});
  };
  ASSERT_TRUE(Eventually([&] { return predict().ok(); })) << predict().body;
  const json scores = predict().json()["outputs"][0]["data"];
  EXPECT_GT(scores[0].get<double>(), scores[1].get<double>()) << scores;

  spec["data"]["train"]["inputs"] = "trai";
  const Answer refused = acme.owner().Post(acme.Path("jobs"), {{"spec", spec}});
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["field"], "spec.data.train.inputs") << refused.body;
}

}  // namespace
}  // namespace slipway::e2e
