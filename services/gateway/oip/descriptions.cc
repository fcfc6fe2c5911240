#include "services/gateway/oip/descriptions.h"

#include <algorithm>
#include <map>
#include <utility>

#include "common/names/names.h"
#include "services/gateway/oip/infer_json.h"

namespace slipway::gateway {
namespace {

// A JSON list as a text, since properties are texts.
std::string ListOf(const std::vector<std::string>& labels) {
  std::string list = "[";
  for (const std::string& label : labels) {
    if (list.size() > 1) list += ',';
    AppendJsonString(label, list);
  }
  return list + "]";
}

template <class To>
void AddTensors(const google::protobuf::RepeatedPtrField<registry::v1::TensorSpec>& from, To* to) {
  for (const registry::v1::TensorSpec& spec : from) {
    auto& tensor = *to->Add();
    tensor.set_name(spec.name());
    tensor.set_datatype(spec.datatype());
    *tensor.mutable_shape() = spec.shape();
  }
}

void AddTimes(const inference::StatisticDuration& from, inference::StatisticDuration* to) {
  to->set_count(to->count() + from.count());
  to->set_ns(to->ns() + from.ns());
}

void AddBatch(const inference::InferBatchStatistics& from, inference::ModelStatistics& to) {
  auto& all = *to.mutable_batch_stats();
  auto batch = std::find_if(all.begin(), all.end(), [&](const auto& each) {
    return each.batch_size() == from.batch_size();
  });
  inference::InferBatchStatistics& sum = batch == all.end() ? *all.Add() : *batch;
  sum.set_batch_size(from.batch_size());
  AddTimes(from.compute_input(), sum.mutable_compute_input());
  AddTimes(from.compute_infer(), sum.mutable_compute_infer());
  AddTimes(from.compute_output(), sum.mutable_compute_output());
}

void AddModel(const inference::ModelStatistics& from, inference::ModelStatistics& to) {
  to.set_last_inference(std::max(to.last_inference(), from.last_inference()));
  to.set_inference_count(to.inference_count() + from.inference_count());
  to.set_execution_count(to.execution_count() + from.execution_count());
  const inference::InferStatistics& times = from.inference_stats();
  inference::InferStatistics& sums = *to.mutable_inference_stats();
  AddTimes(times.success(), sums.mutable_success());
  AddTimes(times.fail(), sums.mutable_fail());
  AddTimes(times.queue(), sums.mutable_queue());
  AddTimes(times.compute_input(), sums.mutable_compute_input());
  AddTimes(times.compute_infer(), sums.mutable_compute_infer());
  AddTimes(times.compute_output(), sums.mutable_compute_output());
  AddTimes(times.cache_hit(), sums.mutable_cache_hit());
  AddTimes(times.cache_miss(), sums.mutable_cache_miss());
  for (const auto& batch : from.batch_stats()) AddBatch(batch, to);
  to.mutable_memory_usage()->MergeFrom(from.memory_usage());
}

}  // namespace

inference::ServerMetadataResponse DescribeServer(const std::string& name,
                                                 const std::string& version) {
  inference::ServerMetadataResponse server;
  server.set_name(name);
  server.set_version(version);
  for (const char* extension : {"binary_tensor_data", "classification", "model_configuration",
                                "model_repository", "sequence", "statistics"}) {
    server.add_extensions(extension);
  }
  return server;
}

inference::ModelMetadataResponse DescribeModel(const Endpoint& endpoint, std::string_view version) {
  inference::ModelMetadataResponse model;
  model.set_name(endpoint.name);
  model.set_platform("slipway");
  const Target* shown = nullptr;
  for (const Target& target : endpoint.targets) {
    if (!version.empty() && target.version != version) continue;
    model.add_versions(target.version);
    if (shown == nullptr || target.weight > shown->weight) shown = &target;
  }
  if (shown == nullptr) return model;
  AddTensors(shown->signature.inputs(), model.mutable_inputs());
  AddTensors(shown->signature.outputs(), model.mutable_outputs());
  if (!shown->labels.empty()) (*model.mutable_properties())["labels"] = ListOf(shown->labels);
  return model;
}

inference::RepositoryIndexResponse DescribeRepository(const RouteTable& routes, bool only_ready) {
  std::map<std::pair<std::string, std::string>, bool> models;
  for (const auto& [key, endpoint] : routes.endpoints()) {
    // Nothing serves it: it is unloaded, or not loaded yet.
    if (endpoint->targets.empty()) models[{endpoint->deployment, ""}] = false;
    for (const Target& target : endpoint->targets) {
      models[{endpoint->deployment, target.version}] = !target.workers.empty();
    }
  }
  inference::RepositoryIndexResponse index;
  for (const auto& [name, ready] : models) {
    if (only_ready && !ready) continue;
    auto& model = *index.add_models();
    model.set_name(name.first);
    model.set_version(name.second);
    model.set_state(ready ? "READY" : "UNAVAILABLE");
    if (!ready) model.set_reason("no worker is ready with it");
  }
  return index;
}

inference::ModelStatisticsResponse MergeStatistics(
    const std::vector<inference::ModelStatisticsResponse>& answers) {
  std::map<std::pair<std::string, std::string>, inference::ModelStatistics> models;
  for (const auto& answer : answers) {
    for (const inference::ModelStatistics& model : answer.model_stats()) {
      const auto deployment = DeploymentName::Parse("name", model.name());
      if (!deployment.ok()) continue;
      AddModel(model, models[{deployment->id, model.version()}]);
    }
  }
  inference::ModelStatisticsResponse merged;
  for (auto& [name, model] : models) {
    model.set_name(name.first);
    model.set_version(name.second);
    *merged.add_model_stats() = std::move(model);
  }
  return merged;
}

}  // namespace slipway::gateway
