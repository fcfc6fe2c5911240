#include "services/registry/pipeline_version.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/services/registry/registry_fixture.h"

namespace slipway::registry {
namespace {

using ::testing::HasSubstr;

constexpr char kNormalise[] = "tenants/acme/models/normalise/versions/1";
constexpr char kClassify[] = "tenants/acme/models/classify/versions/1";

void Add(google::protobuf::RepeatedPtrField<v1::TensorSpec>& specs, const std::string& name,
         const std::string& datatype, const std::vector<int64_t>& shape) {
  v1::TensorSpec& spec = *specs.Add();
  spec.set_name(name);
  spec.set_datatype(datatype);
  spec.mutable_shape()->Add(shape.begin(), shape.end());
}

class PipelineVersionTest : public RegistryFixture {
 protected:
  PipelineVersionTest() {
    v1::ModelVersion normalise = Version("one");
    Add(*normalise.mutable_signature()->mutable_inputs(), "picture", "UINT8", {-1, 28, 28});
    Add(*normalise.mutable_signature()->mutable_outputs(), "image", "FP32", {-1, 1, 28, 28});
    EXPECT_EQ(MakeAs(ServiceId::kTraining, "normalise", normalise)->name(), kNormalise);
    v1::ModelVersion classify = Version("two");
    Add(*classify.mutable_signature()->mutable_inputs(), "image", "FP32", {-1, 1, 28, 28});
    Add(*classify.mutable_signature()->mutable_outputs(), "logits", "FP32", {-1, 10});
    EXPECT_EQ(MakeAs(ServiceId::kTraining, "classify", classify)->name(), kClassify);
  }

  absl::StatusOr<v1::ModelVersion> MakeAs(ServiceId caller, const std::string& model,
                                          const v1::ModelVersion& version,
                                          const std::string& tenant = "acme",
                                          const std::string& request_id = "") {
    Principal who = Of(tenant);
    who.caller = caller;
    return registry_->CreateVersion(who, {tenant, model}, version, request_id);
  }
  absl::StatusOr<v1::ModelVersion> Make(const v1::ModelVersion& version,
                                        const std::string& request_id = "") {
    return MakeAs(ServiceId::kGateway, "shoes", version, "acme", request_id);
  }

  static v1::ModelVersion Pipeline(const std::string& normalise = kNormalise,
                                   const std::string& classify = kClassify) {
    v1::ModelVersion version;
    v1::Pipeline& pipeline = *version.mutable_pipeline();
    pipeline.add_inputs("picture");
    v1::Pipeline::Step& first = *pipeline.add_steps();
    first.set_name("normalise");
    first.set_model_version(normalise);
    (*first.mutable_inputs())["picture"] = "inputs.picture";
    v1::Pipeline::Step& second = *pipeline.add_steps();
    second.set_name("classify");
    second.set_model_version(classify);
    (*second.mutable_inputs())["image"] = "normalise.image";
    (*pipeline.mutable_outputs())["scores"] = "classify.logits";
    return version;
  }
};

TEST_F(PipelineVersionTest, HasTheSignatureThatItsStepsMake) {
  const auto made = Make(Pipeline());
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->name(), "tenants/acme/models/shoes/versions/1");
  EXPECT_EQ(made->artifact().format(), "pipeline");
  ASSERT_EQ(made->signature().inputs_size(), 1);
  EXPECT_EQ(made->signature().inputs(0).name(), "picture");
  EXPECT_EQ(made->signature().inputs(0).datatype(), "UINT8");
  ASSERT_EQ(made->signature().outputs_size(), 1);
  EXPECT_EQ(made->signature().outputs(0).name(), "scores");
  EXPECT_EQ(made->signature().outputs(0).shape(1), 10);

  v1::ModelVersion given = Pipeline();
  *given.mutable_signature() = made->signature();
  EXPECT_TRUE(Make(given).ok());
  given.mutable_signature()->mutable_outputs(0)->set_name("logits");
  EXPECT_EQ(FieldOf(Make(given).status()), "model_version.signature");
}

TEST_F(PipelineVersionTest, AnAliasBecomesTheVersionThatItNamesNow) {
  const AliasName live{{"acme", "classify"}, "live"};
  ASSERT_TRUE(registry_->SetAlias(Of("acme"), live, {live.model, 1}).ok());
  const v1::ModelVersion wanted = Pipeline(kNormalise, live.ToString());
  const auto made = Make(wanted, "once");
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->pipeline().steps(1).model_version(), kClassify);

  ASSERT_TRUE(registry_->CreateVersion(Of("acme"), live.model, Version("three"), "").ok());
  ASSERT_TRUE(registry_->SetAlias(Of("acme"), live, {live.model, 2}).ok());
  EXPECT_EQ(registry_->GetVersion(Of("acme"), VersionName{{"acme", "shoes"}, 1})
                ->pipeline()
                .steps(1)
                .model_version(),
            kClassify)
      << "a version does not change";
  EXPECT_EQ(Make(wanted, "once")->name(), made->name()) << "the same request";
  EXPECT_EQ(Make(wanted)->pipeline().steps(1).model_version(),
            "tenants/acme/models/classify/versions/2");
}

TEST_F(PipelineVersionTest, AnotherTenantsStepIsNotFoundInTheWordsOfAnAbsentOne) {
  const std::string foreign = "tenants/globex/models/secret/versions/1";
  ASSERT_EQ(MakeAs(ServiceId::kGateway, "secret", Version("x", "globex"), "globex")->name(),
            foreign);
  const AliasName alias{{"globex", "secret"}, "live"};
  ASSERT_TRUE(registry_->SetAlias(Of("globex"), alias, {alias.model, 1}).ok());
  for (const std::string& name :
       {foreign, alias.ToString(), std::string("tenants/acme/models/none/versions/1"),
        std::string("tenants/acme/models/classify/aliases/none")}) {
    const absl::Status refused = Make(Pipeline(kNormalise, name)).status();
    EXPECT_TRUE(absl::IsNotFound(refused)) << refused;
    EXPECT_EQ(refused.message(),
              "model_version.pipeline.steps[1].model_version: " + name + " was not found");
  }
  EXPECT_EQ(FieldOf(Make(Pipeline(kNormalise, "classify")).status()),
            "model_version.pipeline.steps[1].model_version");
}

TEST_F(PipelineVersionTest, IsTrustedAsItsLeastTrustedStep) {
  EXPECT_EQ(Make(Pipeline())->origin(), v1::ModelVersion::TRAINED);
  v1::ModelVersion version = Version("two");
  const auto classify = [&](const Principal& who) {
    return registry_->CreateVersion(who, {"acme", "classify"}, version, "")->name();
  };
  Principal operators = Of("acme");
  operators.role = Role::kOperator;
  EXPECT_EQ(Make(Pipeline(kNormalise, classify(operators)))->origin(), v1::ModelVersion::IMPORTED);
  EXPECT_EQ(Make(Pipeline(kNormalise, classify(Of("acme"))))->origin(), v1::ModelVersion::UPLOADED);
  // Whoever writes the pipeline vouches for no step.
  EXPECT_EQ(registry_
                ->CreateVersion(operators, {"acme", "shoes"},
                                Pipeline(kNormalise, classify(Of("acme"))), "")
                ->origin(),
            v1::ModelVersion::UPLOADED);
}

TEST_F(PipelineVersionTest, RefusesWhatDoesNotFitByItsPath) {
  v1::ModelVersion ring = Pipeline();
  (*ring.mutable_pipeline()->mutable_steps(0)->mutable_inputs())["picture"] = "classify.logits";
  (*ring.mutable_pipeline()->mutable_outputs())["picture"] = "inputs.picture";
  const absl::Status refused = Make(ring).status();
  EXPECT_EQ(FieldOf(refused), "model_version.pipeline.steps[0]");
  EXPECT_THAT(std::string(refused.message()), HasSubstr("normalise <- classify <- normalise"));

  v1::ModelVersion unknown = Pipeline();
  (*unknown.mutable_pipeline()->mutable_steps(1)->mutable_inputs())["image"] = "rescale.image";
  EXPECT_EQ(FieldOf(Make(unknown).status()), "model_version.pipeline.steps[1].inputs.image");

  const absl::Status shape = Make(Pipeline(kNormalise, kNormalise)).status();
  EXPECT_EQ(FieldOf(shape), "model_version.pipeline.steps[1].inputs.image") << shape;

  ASSERT_TRUE(Make(Pipeline()).ok());
  const absl::Status nested =
      Make(Pipeline(kNormalise, "tenants/acme/models/shoes/versions/1")).status();
  EXPECT_EQ(FieldOf(nested), "model_version.pipeline.steps[1].model_version") << nested;

  v1::ModelVersion with_files = Pipeline();
  *with_files.mutable_artifact() = Version().artifact();
  EXPECT_EQ(FieldOf(Make(with_files).status()), "model_version.artifact");
  v1::ModelVersion without = Version();
  without.mutable_artifact()->set_format("pipeline");
  EXPECT_EQ(FieldOf(Make(without).status()), "model_version.pipeline");
}

TEST_F(PipelineVersionTest, WhatAStepTakesMayBecomeKnownOnlyWhenItIsLoaded) {
  ASSERT_EQ(MakeAs(ServiceId::kGateway, "foreign", Version("three"))->name(),
            "tenants/acme/models/foreign/versions/1");
  const auto made = Make(Pipeline("tenants/acme/models/foreign/versions/1"));
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->signature().inputs_size(), 0);
}

}  // namespace
}  // namespace slipway::registry
