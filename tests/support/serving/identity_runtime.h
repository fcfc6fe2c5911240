#ifndef SLIPWAY_TESTS_SUPPORT_SERVING_IDENTITY_RUNTIME_H_
#define SLIPWAY_TESTS_SUPPORT_SERVING_IDENTITY_RUNTIME_H_

#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "services/inference/model_runtime.h"
#include "services/inference/signature.h"
#include "slipway/registry/v1/registry.pb.h"
#include "tests/support/serving/fake_registry.h"

namespace slipway::worker {

/// Answers its inputs, unchanged and uncopied: a model of any tensors that does no work.
class IdentityModel final : public LoadedModel {
 public:
  explicit IdentityModel(Signature signature) : signature_(std::move(signature)) {}
  std::string_view platform() const override { return "identity"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return 0; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    return inputs;
  }

 private:
  const Signature signature_;
};

/// Makes one of a file "signature", a serialized slipway.registry.v1.Signature.
class IdentityRuntime final : public ModelRuntime {
 public:
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) override {
    std::ifstream file(source.files.at("signature"));
    slipway::registry::v1::Signature message;
    if (!message.ParseFromIstream(&file)) return absl::InvalidArgumentError("signature: is none");
    ASSIGN_OR_RETURN(Signature signature, ParseSignature(message, "signature"));
    return std::make_shared<IdentityModel>(std::move(signature));
  }
};

/// A version of such a model, whose outputs are `tensors`, named as its inputs; known to
/// `registry`.
inline slipway::registry::v1::ModelVersion AddIdentityVersion(
    FakeRegistryServer& registry, const std::string& name, const std::vector<TensorSpec>& tensors) {
  TestArtifact artifact;
  for (const TensorSpec& tensor : tensors) {
    auto& input = *artifact.signature.add_inputs();
    input.set_name(tensor.name);
    input.set_datatype(std::string(DataTypeName(tensor.dtype)));
    for (const int64_t dim : tensor.shape.dims()) input.add_shape(dim);
    *artifact.signature.add_outputs() = input;
  }
  artifact.description = "{}";
  artifact.weights = artifact.signature.SerializeAsString();
  auto version = registry.AddVersion(name, artifact);
  version.mutable_artifact()->set_format("identity");
  version.mutable_artifact()->mutable_files(1)->set_path("signature");
  return version;
}

}  // namespace slipway::worker

#endif  // SLIPWAY_TESTS_SUPPORT_SERVING_IDENTITY_RUNTIME_H_
