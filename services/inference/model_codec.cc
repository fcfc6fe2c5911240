#include "services/inference/model_codec.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace slipway::worker {
namespace {

// More rows than any message can hold: the worker sets no bound of its own.
constexpr int32_t kNoBatchLimit = 1 << 20;

inference::DataType ToProto(DataType type) {
  switch (type) {
    case DataType::kBool:
      return inference::TYPE_BOOL;
    case DataType::kUint8:
      return inference::TYPE_UINT8;
    case DataType::kUint16:
      return inference::TYPE_UINT16;
    case DataType::kUint32:
      return inference::TYPE_UINT32;
    case DataType::kUint64:
      return inference::TYPE_UINT64;
    case DataType::kInt8:
      return inference::TYPE_INT8;
    case DataType::kInt16:
      return inference::TYPE_INT16;
    case DataType::kInt32:
      return inference::TYPE_INT32;
    case DataType::kInt64:
      return inference::TYPE_INT64;
    case DataType::kFp16:
      return inference::TYPE_FP16;
    case DataType::kBf16:
      return inference::TYPE_BF16;
    case DataType::kFp32:
      return inference::TYPE_FP32;
    case DataType::kFp64:
      return inference::TYPE_FP64;
    case DataType::kBytes:
      return inference::TYPE_STRING;
  }
  return inference::TYPE_INVALID;
}

bool IsBatched(const TensorSpec& spec) {
  return spec.shape.rank() > 0 && spec.shape[0] == Shape::kAny;
}

template <class Out>
void AddTensor(const TensorSpec& spec, bool batched, Out& out) {
  out.set_name(spec.name);
  out.set_data_type(ToProto(spec.dtype));
  for (size_t i = batched ? 1 : 0; i < spec.shape.rank(); ++i) out.add_dims(spec.shape[i]);
}

uint64_t Unsigned(int64_t value) { return static_cast<uint64_t>(std::max<int64_t>(0, value)); }

void SetDuration(const TimeSum& sum, inference::StatisticDuration& out) {
  out.set_count(Unsigned(sum.count));
  out.set_ns(Unsigned(absl::ToInt64Nanoseconds(sum.time)));
}

inference::ModelQueuePolicy ToProto(const QueuePolicy& queue) {
  inference::ModelQueuePolicy out;
  if (queue.action == QueuePolicy::Action::kDelay) {
    out.set_timeout_action(inference::ModelQueuePolicy::DELAY);
  }
  if (queue.timeout != absl::InfiniteDuration()) {
    out.set_default_timeout_microseconds(Unsigned(absl::ToInt64Microseconds(queue.timeout)));
  }
  out.set_allow_timeout_override(true);
  out.set_max_queue_size(static_cast<uint32_t>(queue.max_calls));
  return out;
}

// Where it differs from Triton: a call may bring more rows than a run has.
void EncodeBatching(const BatchPolicy& policy, inference::ModelConfig& config) {
  (*config.mutable_parameters())["max_rows"].set_string_value(std::to_string(policy.max_rows));
  inference::ModelDynamicBatching& batching = *config.mutable_dynamic_batching();
  for (const int64_t rows : policy.preferred_rows) {
    batching.add_preferred_batch_size(static_cast<int32_t>(rows));
  }
  batching.set_max_queue_delay_microseconds(Unsigned(absl::ToInt64Microseconds(policy.max_delay)));
  *batching.mutable_default_queue_policy() = ToProto(policy.queues[0]);
  if (policy.queues.size() == 1) return;
  batching.set_priority_levels(policy.queues.size());
  batching.set_default_priority_level(Unsigned(policy.default_priority + 1));
  for (size_t i = 0; i < policy.queues.size(); ++i) {
    (*batching.mutable_priority_queue_policy())[i + 1] = ToProto(policy.queues[i]);
  }
}

void EncodeSequences(const SequenceTable& sequences, bool batched,
                     inference::ModelSequenceBatching& out) {
  const std::vector<StateSpec>& states = sequences.layout().visible().states;
  out.set_max_sequence_idle_microseconds(
      Unsigned(absl::ToInt64Microseconds(sequences.settings().idle_timeout)));
  const TensorBatch& zeros = sequences.layout().zeros();
  for (size_t i = 0; i < states.size(); ++i) {
    auto& state = *out.add_state();
    state.set_input_name(states[i].input);
    state.set_output_name(states[i].output);
    state.set_data_type(ToProto(zeros[i].dtype()));
    for (size_t j = batched ? 1 : 0; j < zeros[i].shape().rank(); ++j) {
      state.add_dims(zeros[i].shape()[j]);
    }
  }
}

}  // namespace

void EncodeMetadata(const ServedModel& model, inference::ModelMetadataResponse& response) {
  response.set_name(model.deployment_name);
  response.add_versions(model.version_number);
  response.set_platform(model.platform);
  const auto add = [](const TensorSpec& spec, auto& out) {
    out.set_name(spec.name);
    out.set_datatype(std::string(DataTypeName(spec.dtype)));
    out.mutable_shape()->Add(spec.shape.dims().begin(), spec.shape.dims().end());
  };
  const Signature& signature = model.signature;
  for (const TensorSpec& spec : signature.inputs) add(spec, *response.add_inputs());
  for (const TensorSpec& spec : signature.outputs) add(spec, *response.add_outputs());
}

void EncodeConfig(const ServedModel& model, inference::ModelConfig& config) {
  const Signature& signature = model.signature;
  const bool batched = std::all_of(signature.inputs.begin(), signature.inputs.end(), IsBatched) &&
                       std::all_of(signature.outputs.begin(), signature.outputs.end(), IsBatched);
  config.set_name(model.deployment_name);
  config.set_platform(model.platform);
  config.set_backend(model.platform);
  config.set_max_batch_size(batched ? kNoBatchLimit : 0);
  inference::ModelInstanceGroup& instances = *config.add_instance_group();
  instances.set_count(model.parallelism.instances);
  (*config.mutable_parameters())["threads"].set_string_value(
      std::to_string(model.parallelism.threads));
  if (batched) EncodeBatching(model.queue->policy(), config);
  for (const TensorSpec& spec : signature.inputs) AddTensor(spec, batched, *config.add_input());
  for (const TensorSpec& spec : signature.outputs) AddTensor(spec, batched, *config.add_output());
  // In place of dynamic_batching, as its clients expect; calls of different sequences run together
  // all the same.
  if (model.sequences != nullptr) {
    EncodeSequences(*model.sequences, batched, *config.mutable_sequence_batching());
  }
  if (model.cache != nullptr) config.mutable_response_cache()->set_enable(true);
  // One request, one response; load generators look for it.
  config.mutable_model_transaction_policy()->set_decoupled(false);
}

void EncodeStatistics(const ServedModel& model, inference::ModelStatistics& out) {
  const ModelStatistics statistics = model.metrics.Statistics();
  out.set_name(model.deployment_name);
  out.set_version(model.version_number);
  if (statistics.last_inference != absl::InfinitePast()) {
    out.set_last_inference(Unsigned(absl::ToUnixMillis(statistics.last_inference)));
  }
  out.set_inference_count(Unsigned(statistics.inference_count));
  out.set_execution_count(Unsigned(statistics.execution_count));
  inference::InferStatistics& calls = *out.mutable_inference_stats();
  SetDuration(statistics.success, *calls.mutable_success());
  SetDuration(statistics.fail, *calls.mutable_fail());
  SetDuration(statistics.queue, *calls.mutable_queue());
  SetDuration(statistics.compute_input, *calls.mutable_compute_input());
  SetDuration(statistics.compute_infer, *calls.mutable_compute_infer());
  SetDuration(statistics.compute_output, *calls.mutable_compute_output());
  SetDuration(statistics.cache_hit, *calls.mutable_cache_hit());
  SetDuration(statistics.cache_miss, *calls.mutable_cache_miss());
  for (const auto& [rows, batch] : statistics.batches) {
    inference::InferBatchStatistics& row = *out.add_batch_stats();
    row.set_batch_size(Unsigned(rows));
    SetDuration(batch.compute_input, *row.mutable_compute_input());
    SetDuration(batch.compute_infer, *row.mutable_compute_infer());
    SetDuration(batch.compute_output, *row.mutable_compute_output());
  }
  inference::MemoryUsage& memory = *out.add_memory_usage();
  memory.set_type("CPU");
  memory.set_byte_size(Unsigned(model.metrics.LoadedBytes()));
}

void EncodeIndex(const ModelReport& report, inference::RepositoryIndexResponse::ModelIndex& index) {
  index.set_name(report.deployment.ToString());
  index.set_version(std::to_string(report.version.number));
  switch (report.state) {
    case ModelReport::State::kReady:
      index.set_state("READY");
      if (report.memory.total() == 0) index.set_reason("not in memory: its next call loads it");
      break;
    case ModelReport::State::kLoading:
      index.set_state("LOADING");
      break;
    case ModelReport::State::kUnloading:
      index.set_state("UNLOADING");
      break;
    case ModelReport::State::kFailed:
      index.set_state("UNAVAILABLE");
      index.set_reason(report.error);
      break;
  }
}

}  // namespace slipway::worker
