// TorchScript by LibTorch: what is allowed answers as its code says, what is not is never loaded,
// and what does not end is noticed.

#include "tests/support/serving/torchscript.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "services/inference/torch/torch_runtime.h"
#include "tests/support/temp_dir.h"

namespace slipway::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr char kTwoMethods[] = R"(
def forward(self, x):
  return torch.relu(torch.matmul(x, self.w) + self.b)
def sum_and_scaled(self, x, y):
  return (x.sum(1), x * y * self.w[0, 0])
)";

Tensor Floats(const std::string& name, Shape shape, const std::vector<float>& values) {
  return *Tensor::Make(
      name, DataType::kFp32, std::move(shape),
      Buffer::Own({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}),
      name);
}
std::vector<float> ValuesOf(const Tensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.element_count()));
  std::memcpy(values.data(), tensor.data().data(), values.size() * sizeof(float));
  return values;
}
std::string DigestOf(const std::string& bytes) { return "sha256:" + Sha256Hex(bytes); }
std::string TwoMethods() {
  return MakeTorchScript(kTwoMethods, std::vector{Floats("w", {2, 3}, {1, 2, 3, -1, 0, 4}),
                                                  Floats("b", {3}, {0.5F, -3, 0})});
}

const Signature kForward = {{{"x", DataType::kFp32, {-1, 2}}}, {{"y", DataType::kFp32, {-1, 3}}}};

class TorchScriptTest : public ::testing::Test {
 protected:
  using Loaded = absl::StatusOr<std::shared_ptr<const LoadedModel>>;

  // `bytes` as a version's file, where `allowed` may be loaded.
  Loaded Load(const std::string& bytes, std::vector<std::string> allowed,
              const Signature& signature = kForward, const std::string& method = "") {
    EXPECT_TRUE(WriteFileAtomically(dir_ / "model.pt", bytes).ok());
    const auto runtime = MakeTorchRuntime({.torchscript = {.digests = std::move(allowed)}});
    EXPECT_TRUE(runtime.ok()) << runtime.status();
    return (*runtime)->Load({.format = "torchscript",
                             .files = {{"model.pt", dir_ / "model.pt"}},
                             .signature = signature,
                             .method = method});
  }
  Loaded LoadAllowed(const std::string& bytes, const Signature& signature = kForward,
                     const std::string& method = "") {
    return Load(bytes, {DigestOf(bytes)}, signature, method);
  }

  const TempDir dir_;
};

TEST_F(TorchScriptTest, AnswersWhatItsCodeSaysForAnyNumberOfRows) {
  const auto model = LoadAllowed(TwoMethods());
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->platform(), "slipway_torchscript");
  EXPECT_EQ((*model)->signature(), kForward);
  EXPECT_EQ((*model)->memory_bytes(), 9 * 4);
  for (int64_t rows : {1, 5, 2, 1}) {
    std::vector<float> x;
    std::vector<float> expected;
    for (int64_t row = 0; row < rows; ++row) {
      const auto a = static_cast<float>(row) - 1;
      const float b = 0.5F * static_cast<float>(row);
      x.insert(x.end(), {a, b});
      for (const float y : {a - b + 0.5F, 2 * a - 3, 3 * a + 4 * b}) {
        expected.push_back(std::max(0.0F, y));
      }
    }
    const auto outputs = (*model)->Run({Floats("x", {rows, 2}, x)}, absl::InfiniteFuture());
    ASSERT_TRUE(outputs.ok()) << outputs.status();
    EXPECT_EQ((*outputs)[0].name(), "y");
    EXPECT_THAT(ValuesOf((*outputs)[0]), testing::Pointwise(testing::FloatNear(1e-6F), expected));
  }
}

TEST_F(TorchScriptTest, AnotherMethodIsAnotherModelOfTheSameFile) {
  const Signature signature = {
      {{"a", DataType::kFp32, {-1, 2}}, {"b", DataType::kFp32, {-1, 2}}},
      {{"sum", DataType::kFp32, {-1}}, {"scaled", DataType::kFp32, {-1, 2}}}};
  const auto model = LoadAllowed(TwoMethods(), signature, "sum_and_scaled");
  ASSERT_TRUE(model.ok()) << model.status();
  const auto outputs =
      (*model)->Run({Floats("a", {2, 2}, {1, 2, 3, 4}), Floats("b", {2, 2}, {5, 6, 7, 8})},
                    absl::InfiniteFuture());
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(ValuesOf((*outputs)[0]), ElementsAre(3, 7));
  EXPECT_THAT(ValuesOf((*outputs)[1]), ElementsAre(5, 12, 21, 32));
}

TEST_F(TorchScriptTest, WhatItGivesIsNotWhatItWasGiven) {
  const std::string bytes = MakeTorchScript("def forward(self, x):\n  x.add_(1)\n  return x\n");
  const auto model =
      LoadAllowed(bytes, {{{"x", DataType::kFp32, {-1}}}, {{"y", DataType::kFp32, {-1}}}});
  ASSERT_TRUE(model.ok()) << model.status();
  const Tensor x = Floats("x", {2}, {1, 2});
  const auto outputs = (*model)->Run({x}, absl::InfiniteFuture());
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  EXPECT_THAT(ValuesOf((*outputs)[0]), ElementsAre(2, 3));
  EXPECT_THAT(ValuesOf(x), ElementsAre(1, 2));
}

TEST_F(TorchScriptTest, AFileThatIsNotAllowedIsNotLoaded) {
  const std::string bytes = TwoMethods();
  for (const std::vector<std::string>& allowed :
       {std::vector<std::string>(), {DigestOf("another file")}}) {
    const absl::Status status = Load(bytes, allowed).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), StartsWith("model.pt: "));
    EXPECT_THAT(std::string(status.message()), HasSubstr(DigestOf(bytes)));
    EXPECT_THAT(std::string(status.message()), HasSubstr("torchscript.digests"));
  }
}

TEST_F(TorchScriptTest, TheBytesThatAreLoadedCountNotWhatTheirNameSays) {
  const std::string bytes = TwoMethods();
  std::string changed = bytes;
  changed[changed.size() / 2] = static_cast<char>(changed[changed.size() / 2] + 1);
  const absl::Status status = Load(changed, {DigestOf(bytes)}).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr(DigestOf(changed)));
}

TEST_F(TorchScriptTest, WhatCannotBeRunIsRefusedByName) {
  const auto error = [&](const Loaded& loaded) {
    EXPECT_TRUE(absl::IsInvalidArgument(loaded.status())) << loaded.status();
    return std::string(loaded.status().message());
  };
  EXPECT_THAT(error(LoadAllowed("no module")), StartsWith("model.pt: "));
  EXPECT_THAT(error(LoadAllowed(TwoMethods(), kForward, "backward")),
              StartsWith("model.pt: has no method \"backward\""));
  EXPECT_THAT(error(LoadAllowed(TwoMethods(), kForward, "sum_and_scaled")),
              StartsWith("model.pt: sum_and_scaled takes 2 tensors, the signature has 1"));
  EXPECT_THAT(error(LoadAllowed(TwoMethods(), {})),
              HasSubstr("register the version with a signature"));
}

TEST_F(TorchScriptTest, WhatIsNotAsTheSignatureSaysIsTheModelsFault) {
  Signature wrong = kForward;
  wrong.outputs[0].shape = {-1, 4};
  const auto model = LoadAllowed(TwoMethods(), wrong);
  ASSERT_TRUE(model.ok()) << model.status();
  const absl::Status status =
      (*model)->Run({Floats("x", {1, 2}, {1, 2})}, absl::InfiniteFuture()).status();
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("y"));
}

TEST_F(TorchScriptTest, AnExceptionOfItsOwnIsToldInItsWords) {
  const std::string bytes = MakeTorchScript(
      "def forward(self, x):\n  assert bool(x.sum() <= 0), 'too warm'\n  return x\n");
  const auto model =
      LoadAllowed(bytes, {{{"x", DataType::kFp32, {-1}}}, {{"y", DataType::kFp32, {-1}}}});
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_TRUE((*model)->Run({Floats("x", {1}, {-1})}, absl::InfiniteFuture()).ok());
  const auto failed = (*model)->Run({Floats("x", {1}, {1})}, absl::InfiniteFuture());
  EXPECT_TRUE(absl::IsInternal(failed.status())) << failed.status();
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("too warm"));
}

// In a process of its own, which has to end with the loop in it.
[[noreturn]] void RunALoop(const std::string& path) {
  int hangs = 0;
  const auto check = [](bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "not so: %s\n", what);
    std::_Exit(1);
  };
  const std::string bytes = MakeTorchScript(kEndlessForMoreThanZero);
  check(WriteFileAtomically(path, bytes).ok(), "the file is written");
  const auto runtime = MakeTorchRuntime({.torchscript = {.digests = {DigestOf(bytes)},
                                                         .max_run = absl::Milliseconds(200),
                                                         .on_hang = [&] { ++hangs; }}});
  const auto model = (*runtime)->Load(
      {.format = "torchscript",
       .files = {{"model.pt", path}},
       .signature = {{{"x", DataType::kFp32, {-1}}}, {{"y", DataType::kFp32, {-1}}}}});
  check(model.ok(), "it is loaded");
  const auto run = [&](float x) {
    return (*model)->Run({Floats("x", {1}, {x})}, absl::InfiniteFuture());
  };
  check(run(-1).ok() && hangs == 0, "what ends is answered");
  const absl::Status status = run(1).status();
  check(absl::IsDeadlineExceeded(status), "what does not end is told so");
  check(status.message().find("more than 200ms") != absl::string_view::npos, "and how long it had");
  check(absl::IsDeadlineExceeded(run(-1).status()), "so is whoever comes later");
  check(hangs == 1, "the process is asked to end, once");
  std::_Exit(0);
}

TEST_F(TorchScriptTest, ARunThatDoesNotEndIsGivenUpAndTheProcessIsAskedToEnd) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(RunALoop(dir_ / "model.pt"), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace slipway::worker
