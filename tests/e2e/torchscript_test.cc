// TorchScript by the command line: allowed by digest, in a process of its own, ended and started
// anew when it does not end by itself.

#include "tests/support/serving/torchscript.h"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"
#include "tests/support/places.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class TorchScriptTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(WriteFileAtomically(dir_ / "endless.pt", script_).ok());
    ASSERT_TRUE(WriteFileAtomically(dir_ / "other.pt", other_).ok());
    ASSERT_TRUE(platform_.Start().ok()) << platform_.Logs();
    world_ = std::make_unique<World>(platform_, "acme");
    ASSERT_TRUE(world_->status().ok()) << world_->status() << platform_.Logs();
  }
  void TearDown() override {
    if (HasFailure()) std::cerr << platform_.Logs();
  }
  static std::string DigestOf(const std::string& bytes) { return "sha256:" + Sha256Hex(bytes); }

  bool Upload(const std::string& model, const std::string& file) {
    return world_->Cli({"model", "upload", model, dir_ / file, "--format", "torchscript", "--input",
                        "x:FP32:-1,1", "--output", "y:FP32:-1,1"});
  }
  Answer Infer(const std::string& deployment, float x) const {
    return world_->owner().Post(
        "/v2/models/" + deployment + "/infer",
        {{"inputs", {{{"name", "x"}, {"datatype", "FP32"}, {"shape", {1, 1}}, {"data", {x}}}}}});
  }
  json Deployment(const std::string& id) const {
    return world_->owner().Get(world_->Path("deployments/" + id)).json();
  }

  const TempDir dir_;
  const std::string script_ = MakeTorchScript(kEndlessForMoreThanZero);
  const std::string other_ = MakeTorchScript("def forward(self, x):\n  return x + 3\n");
  const std::string refused_ = MakeTorchScript("def forward(self, x):\n  return x + 4\n");
  Platform platform_{{.data_dir = "",
                      .wrapper = {"/usr/bin/env",
                                  "SLIPWAY_CONTROLLER_TORCHSCRIPT_DIGESTS=" + DigestOf(script_) +
                                      "," + DigestOf(other_),
                                  "SLIPWAY_CONTROLLER_TORCHSCRIPT_MAX_RUN=2s"}}};
  std::unique_ptr<World> world_;
};

TEST_F(TorchScriptTest, ServesWhatIsAllowedAndEndsWhatDoesNotEnd) {
  // Not on the list.
  ASSERT_TRUE(WriteFileAtomically(dir_ / "refused.pt", refused_).ok());
  ASSERT_TRUE(Upload("refused", "refused.pt")) << world_->Output();
  EXPECT_FALSE(
      world_->Cli({"deploy", "create", "refused", "--model", "refused", "--version", "1"}));
  EXPECT_THAT(world_->Output(), HasSubstr(DigestOf(refused_)));
  EXPECT_THAT(world_->Output(), HasSubstr("torchscript.digests"));

  for (const std::string name : {"endless", "other"}) {
    ASSERT_TRUE(Upload(name, name + ".pt")) << world_->Output();
    ASSERT_TRUE(world_->Cli(
        {"deploy", "create", name, "--model", name, "--version", "1", "--wait", "--timeout", "3m"}))
        << world_->Output();
  }
  EXPECT_EQ(Deployment("other")["facts"]["platform"], "slipway_torchscript");
  EXPECT_EQ(Infer("endless", -1).json()["outputs"][0]["data"][0], -2.0);
  EXPECT_EQ(Infer("other", 1).json()["outputs"][0]["data"][0], 4.0);

  std::atomic<bool> stop = false;
  std::atomic<int> answered = 0;
  std::atomic<int> failed = 0;
  std::jthread others([&] {
    while (!stop) (Infer("other", 1).ok() ? answered : failed) += 1;
  });
  const Answer hung = Infer("endless", 1);
  EXPECT_EQ(hung.status, 504) << hung.body;
  EXPECT_THAT(hung.body, HasSubstr("the model ran for more than 2s"));
  json seen;
  EXPECT_TRUE(Eventually([&] {
    seen = Deployment("endless");
    return seen.value("error", "").find("a model ran for longer than it may") != std::string::npos;
  })) << seen;
  // It comes back by itself.
  ASSERT_TRUE(Eventually([&] { return Infer("endless", -1).ok(); })) << Deployment("endless");
  stop = true;
  others.join();
  EXPECT_GT(answered, 0);
  EXPECT_EQ(failed, 0) << "another deployment was harmed";
}

}  // namespace
}  // namespace slipway::e2e
