#include "services/inference/auto_runtime.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Runtime = RuntimeSettings::Runtime;

// Notes in `log` that it was asked, and answers `status`.
class NamedRuntime final : public ModelRuntime {
 public:
  NamedRuntime(std::string name, std::vector<std::string>& log, absl::Status status)
      : name_(std::move(name)), log_(log), status_(std::move(status)) {}
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource&) override {
    log_.push_back(name_);
    if (!status_.ok()) return status_;
    return std::shared_ptr<const LoadedModel>();
  }

 private:
  const std::string name_;
  std::vector<std::string>& log_;
  const absl::Status status_;
};

class AutoRuntimeTest : public ::testing::Test {
 protected:
  std::unique_ptr<ModelRuntime> Make(const std::string& name,
                                     absl::Status status = absl::OkStatus()) {
    return std::make_unique<NamedRuntime>(name, asked_, std::move(status));
  }
  absl::Status Load(AutoRuntime&& runtime, const std::string& format,
                    Runtime chosen = Runtime::kAuto) {
    return runtime.Load({.format = format, .files = {}, .settings = {.runtime = chosen}}).status();
  }
  std::vector<std::string> asked_;
};

TEST_F(AutoRuntimeTest, TakesOpenVinoForEveryFormatOnACpu) {
  for (const char* format : {"slipway", "onnx", "tensorflow", "paddle"}) {
    EXPECT_TRUE(Load({Make("torch"), Make("openvino"), true}, format).ok());
  }
  EXPECT_THAT(asked_, ElementsAre("openvino", "openvino", "openvino", "openvino"));
}

TEST_F(AutoRuntimeTest, TakesTorchForOurModelsOnAGpu) {
  EXPECT_TRUE(Load({Make("torch"), Make("openvino"), false}, "slipway").ok());
  EXPECT_TRUE(Load({Make("torch"), Make("openvino"), false}, "onnx").ok());
  EXPECT_THAT(asked_, ElementsAre("torch", "openvino"));
}

TEST_F(AutoRuntimeTest, TakesTorchForTorchScript) {
  EXPECT_TRUE(Load({Make("torch"), Make("openvino"), true}, "torchscript").ok());
  EXPECT_TRUE(Load({Make("torch"), Make("openvino"), true}, "torchscript", Runtime::kTorch).ok());
  EXPECT_THAT(asked_, ElementsAre("torch", "torch"));
}

TEST_F(AutoRuntimeTest, TorchTakesOverWhatOpenVinoDoesNotRun) {
  const absl::Status missing = absl::UnimplementedError("no such operator");
  EXPECT_TRUE(Load({Make("torch"), Make("openvino", missing), true}, "slipway").ok());
  EXPECT_THAT(asked_, ElementsAre("openvino", "torch"));
}

TEST_F(AutoRuntimeTest, TorchDoesNotTakeOverABrokenFileOrAForeignFormat) {
  const absl::Status broken = absl::InvalidArgumentError("model.safetensors: is short");
  EXPECT_EQ(Load({Make("torch"), Make("openvino", broken), true}, "slipway"), broken);
  const absl::Status missing = absl::UnimplementedError("no such operator");
  EXPECT_EQ(Load({Make("torch"), Make("openvino", missing), true}, "onnx"), missing);
  EXPECT_THAT(asked_, ElementsAre("openvino", "openvino"));
}

TEST_F(AutoRuntimeTest, WhatADeploymentNamesIsTakenAndNothingElse) {
  const absl::Status missing = absl::UnimplementedError("no such operator");
  EXPECT_TRUE(Load({Make("torch"), Make("openvino"), true}, "slipway", Runtime::kTorch).ok());
  EXPECT_EQ(Load({Make("torch"), Make("openvino", missing), false}, "slipway", Runtime::kOpenVino),
            missing);
  EXPECT_THAT(asked_, ElementsAre("torch", "openvino"));
}

TEST_F(AutoRuntimeTest, AWorkerMayLackARuntime) {
  EXPECT_TRUE(Load({Make("torch"), nullptr, true}, "slipway").ok());
  EXPECT_THAT(asked_, ElementsAre("torch"));
  asked_.clear();
  EXPECT_TRUE(absl::IsUnimplemented(Load({Make("torch"), nullptr, true}, "onnx")));
  EXPECT_TRUE(
      absl::IsUnimplemented(Load({nullptr, Make("openvino"), true}, "slipway", Runtime::kTorch)));
  EXPECT_THAT(asked_, IsEmpty());
}

}  // namespace
}  // namespace slipway::worker
