#include "services/registry/pipeline_version.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "common/names/names.h"
#include "common/pipeline/pipeline_graph.h"
#include "common/signature/signature.h"
#include "fmt/format.h"

namespace slipway::registry {
namespace {

// The version that a name or an alias names; nothing where it is absent or another tenant's.
absl::StatusOr<std::optional<v1::ModelVersion>> FindStep(RegistryTransaction& tx,
                                                         const std::string& tenant,
                                                         const std::string& field,
                                                         const std::string& text) {
  VersionName name;
  if (const auto alias = AliasName::Parse(field, text); alias.ok()) {
    if (alias->model.tenant != tenant) return std::nullopt;
    ASSIGN_OR_RETURN(const std::optional<v1::Alias> target, tx.FindAlias(*alias));
    if (!target.has_value()) return std::nullopt;
    ASSIGN_OR_RETURN(name, VersionName::Parse(field, target->version()));
  } else {
    ASSIGN_OR_RETURN(name, VersionName::Parse(field, text));
  }
  if (name.model.tenant != tenant) return std::nullopt;
  return tx.FindVersion(name);
}

// The more, the more it is trusted.
int TrustIn(v1::ModelVersion::Origin origin) {
  switch (origin) {
    case v1::ModelVersion::TRAINED:
      return 2;
    case v1::ModelVersion::IMPORTED:
      return 1;
    default:
      return 0;
  }
}

bool HasSignature(const v1::ModelVersion& version) {
  return version.signature().inputs_size() > 0 || version.signature().outputs_size() > 0;
}

}  // namespace

absl::Status ResolvePipeline(RegistryTransaction& tx, const std::string& tenant,
                             std::string_view field, v1::ModelVersion& version) {
  const std::string here = fmt::format("{}.pipeline", field);
  ASSIGN_OR_RETURN(const pipeline::PipelineGraph graph,
                   pipeline::PipelineGraph::Parse(version.pipeline(), here));
  version.mutable_artifact()->set_format(std::string(pipeline::kFormat));
  version.set_origin(v1::ModelVersion::TRAINED);
  std::vector<Signature> signatures;
  bool all_known = true;
  for (int i = 0; i < version.pipeline().steps_size(); ++i) {
    v1::Pipeline::Step& step = *version.mutable_pipeline()->mutable_steps(i);
    const std::string at = fmt::format("{}.steps[{}].model_version", here, i);
    ASSIGN_OR_RETURN(const std::optional<v1::ModelVersion> model,
                     FindStep(tx, tenant, at, step.model_version()));
    if (!model.has_value()) return Annotate(NotFound(step.model_version()), at);
    if (model->has_pipeline()) return InvalidField(at, "is a pipeline, which cannot be a step");
    step.set_model_version(model->name());
    if (TrustIn(model->origin()) < TrustIn(version.origin())) {
      version.set_origin(TrustIn(model->origin()) == 0 ? v1::ModelVersion::UPLOADED
                                                       : model->origin());
    }
    all_known = all_known && HasSignature(*model);
    ASSIGN_OR_RETURN(signatures.emplace_back(), ParseSignature(model->signature(), at));
  }
  // What is not known here the worker reads from the steps' files when it loads them.
  if (!all_known) return absl::OkStatus();
  ASSIGN_OR_RETURN(const pipeline::Plan plan, graph.Bind(signatures));
  if (HasSignature(version)) {
    ASSIGN_OR_RETURN(const Signature given,
                     ParseSignature(version.signature(), fmt::format("{}.signature", field)));
    if (given != plan.signature) {
      return InvalidField(fmt::format("{}.signature", field),
                          "is not what the pipeline's steps make of it; it may be left out");
    }
  }
  *version.mutable_signature() = ToProto(plan.signature);
  return absl::OkStatus();
}

}  // namespace slipway::registry
