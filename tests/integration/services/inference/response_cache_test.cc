// Calls that a cache answers, over gRPC, with a runtime that counts its runs.

#include <grpcpp/grpcpp.h>

#include <cmath>
#include <string>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "services/inference/infer_codec.h"
#include "tests/integration/services/inference/worker_fixture.h"
#include "tests/support/eventually.h"
#include "tests/unit/services/inference/fakes.h"

namespace slipway::worker {
namespace {

using testing::ElementsAre;

class CachedCallsTest : public WorkerTest {
 protected:
  void SetUp() override {
    StartWorker(runtime_, /*instances=*/1);
    settings_.mutable_response_cache()->set_max_bytes(1 << 20);
  }

  // Answers the sum of a row and `bias`.
  void LoadVersion(const std::string& name, const std::string& bias = "10",
                   const std::string& deployment = kShoes) {
    TestArtifact artifact;
    artifact.description = "{}";
    artifact.weights = bias;
    auto version = registry_.AddVersion(name, artifact);
    version.mutable_artifact()->set_format("fake");
    version.mutable_artifact()->mutable_files(1)->set_path("bias");
    const auto begun = Load(deployment, version, settings_);
    ASSERT_TRUE(begun.ok()) << begun.status();
    const LoadedModelProto loaded = Await(name);
    ASSERT_EQ(loaded.state(), v1::LoadedModel::READY) << loaded.error();
    runs_before_ = runtime_.runs;
  }
  int Runs() const { return runtime_.runs - runs_before_; }
  float Ask(const inference::ModelInferRequest& request, const std::string& tenant = "acme") {
    const auto response = Infer(request, tenant);
    EXPECT_TRUE(response.ok()) << response.status();
    return response.ok() ? Floats(*response)[0] : NAN;
  }
  ModelStatistics Statistics() {
    Principal who;
    who.tenant = "acme";
    return (*models_->Find(who, kShoes, ""))->metrics.Statistics();
  }

  FakeRuntime runtime_;
  v1::RuntimeSettings settings_;
  int runs_before_ = 0;
};

TEST_F(CachedCallsTest, TheWorkerAccountsForModelsAndForWhatItKeepsOfTheirAnswers) {
  const v1::ProcessMemory before = Memory();
  EXPECT_GT(before.resident_bytes(), 1 << 20);
  EXPECT_GT(before.accounted_bytes(), before.resident_bytes() / 2) << "what there was at the start";
  LoadVersion(kVersion1);
  const int64_t loaded = Memory().accounted_bytes();
  EXPECT_EQ(loaded - before.accounted_bytes(), 1000);
  Ask(RequestFor({1, 2}));
  EXPECT_GE(Memory().accounted_bytes() - loaded, ResponseCache::kEntryBytes);
  ASSERT_TRUE(Unload(kShoes, kVersion1).ok());
  EXPECT_TRUE(Eventually([&] { return Memory().accounted_bytes() == before.accounted_bytes(); }));
}

TEST_F(CachedCallsTest, TheSameInputsRunOnceAndAnswerTheSame) {
  LoadVersion(kVersion1);
  const auto first = Infer(RequestFor({1, 2}));
  const auto again = Infer(RequestFor({1, 2}));
  ASSERT_TRUE(first.ok() && again.ok());
  EXPECT_THAT(Floats(*again), ElementsAre(13));
  EXPECT_EQ(again->outputs(0).SerializeAsString(), first->outputs(0).SerializeAsString());
  EXPECT_EQ(again->parameters().at(kComputeMicrosParameter).int64_param(), 0);
  EXPECT_EQ(Runs(), 1);
  EXPECT_EQ(Ask(RequestFor({2, 1})), 13);
  EXPECT_EQ(Runs(), 2);
}

TEST_F(CachedCallsTest, OffUnlessTheDeploymentAsksForIt) {
  settings_.clear_response_cache();
  LoadVersion(kVersion1);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Ask(RequestFor({1, 2})), 13);
  EXPECT_EQ(Runs(), 3);
  EXPECT_EQ(Statistics().cache_miss.count, 0);
}

TEST_F(CachedCallsTest, HowTheElementsWereWrittenMakesNoDifference) {
  LoadVersion(kVersion1);
  EXPECT_EQ(Ask(RequestFor({1, 2})), 13);
  auto typed = RequestFor({1, 2});
  typed.clear_raw_input_contents();
  for (const float value : {1.0F, 2.0F}) {
    typed.mutable_inputs(0)->mutable_contents()->add_fp32_contents(value);
  }
  EXPECT_EQ(Ask(typed), 13);
  EXPECT_EQ(Runs(), 1);
}

TEST_F(CachedCallsTest, WhatACallerAsksOfAnAnswerIsMadeAnew) {
  LoadVersion(kVersion1);
  EXPECT_EQ(Ask(RequestFor({1, 2})), 13);
  auto request = RequestFor({1, 2});
  request.set_id("the second");
  auto& output = *request.add_outputs();
  output.set_name("sum");
  (*output.mutable_parameters())["classification"].set_int64_param(1);
  const auto classes = Infer(request);
  ASSERT_TRUE(classes.ok()) << classes.status();
  EXPECT_EQ(classes->id(), "the second");
  EXPECT_EQ(classes->outputs(0).datatype(), "BYTES");
  EXPECT_THAT(classes->raw_output_contents(0), testing::HasSubstr("13.000000:0"));
  EXPECT_EQ(Runs(), 1);
}

TEST_F(CachedCallsTest, ABadRequestIsRefusedAlsoWhereItsAnswerIsKnown) {
  LoadVersion(kVersion1);
  EXPECT_EQ(Ask(RequestFor({1, 2})), 13);
  for (const char* name : {"priority", "timeout"}) {
    auto request = RequestFor({1, 2});
    (*request.mutable_parameters())[name].set_string_param("high");
    const absl::Status status = Infer(request).status();
    EXPECT_EQ(FieldOf(status), fmt::format("parameters.{}", name)) << status;
    (*request.mutable_parameters())[name].set_int64_param(1'000'000);
    EXPECT_EQ(Ask(request), 13);
  }
  auto request = RequestFor({1, 2});
  request.add_outputs()->set_name("product");
  EXPECT_EQ(FieldOf(Infer(request).status()), "outputs.product");
  EXPECT_EQ(Runs(), 1);
}

TEST_F(CachedCallsTest, VersionsAndTenantsHaveCachesOfTheirOwn) {
  constexpr char kTheirs[] = "tenants/globex/deployments/shoes";
  LoadVersion(kVersion1, "10");
  LoadVersion(kVersion2, "20");
  LoadVersion("tenants/globex/models/mlp/versions/1", "30", kTheirs);
  for (int i = 0; i < 2; ++i) {
    auto request = RequestFor({1, 2});
    request.set_model_version("1");
    EXPECT_EQ(Ask(request), 13);
    request.set_model_version("2");
    EXPECT_EQ(Ask(request), 23);
    EXPECT_EQ(Ask(RequestFor({1, 2}, kTheirs), "globex"), 33);
  }
  EXPECT_EQ(Runs(), 3);
  // What is known is given to nobody who may not ask for it.
  EXPECT_TRUE(absl::IsNotFound(Infer(RequestFor({1, 2}, kTheirs), "acme").status()));
}

TEST_F(CachedCallsTest, ItsAnswersGoWithTheModel) {
  LoadVersion(kVersion1, "10");
  EXPECT_EQ(Ask(RequestFor({1, 2})), 13);
  ASSERT_TRUE(Unload(kShoes, kVersion1).ok());
  LoadVersion(kVersion1, "20");
  EXPECT_EQ(Ask(RequestFor({1, 2})), 23);
}

TEST_F(CachedCallsTest, HitsAndMissesAreCountedBesideRuns) {
  LoadVersion(kVersion1);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Ask(RequestFor({1, 2})), 13);
  const ModelStatistics statistics = Statistics();
  EXPECT_EQ(statistics.cache_hit.count, 4);
  EXPECT_EQ(statistics.cache_miss.count, 1);
  EXPECT_EQ(statistics.success.count, 5);
  EXPECT_EQ(statistics.queue.count, 5);
  EXPECT_EQ(statistics.inference_count, 1);
  EXPECT_EQ(statistics.execution_count, 1);
  EXPECT_EQ(statistics.compute_infer.count, 1);

  const auto context = GatewayContext();
  inference::ModelStatisticsRequest request;
  request.set_name(kShoes);
  inference::ModelStatisticsResponse response;
  ASSERT_TRUE(inference().ModelStatistics(context.get(), request, &response).ok());
  EXPECT_EQ(response.model_stats(0).inference_stats().cache_hit().count(), 4u);
  EXPECT_EQ(response.model_stats(0).inference_stats().cache_miss().count(), 1u);
  EXPECT_THAT(metrics_.Text(), testing::HasSubstr("model_cache_hits_total"));
}

TEST_F(CachedCallsTest, TheModelsConfigurationSaysSo) {
  LoadVersion(kVersion1);
  const auto context = GatewayContext();
  inference::ModelConfigRequest request;
  request.set_name(kShoes);
  inference::ModelConfigResponse response;
  ASSERT_TRUE(inference().ModelConfig(context.get(), request, &response).ok());
  EXPECT_TRUE(response.config().response_cache().enable());
}

TEST_F(CachedCallsTest, WrongSettingsAreRefusedByName) {
  settings_.mutable_response_cache()->set_max_bytes(0);
  slipway::registry::v1::ModelVersion version;
  version.set_name(kVersion1);
  EXPECT_EQ(FieldOf(Load(kShoes, version, settings_).status()), "runtime.response_cache.max_bytes");
}

}  // namespace
}  // namespace slipway::worker
