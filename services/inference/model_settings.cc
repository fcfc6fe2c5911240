#include "services/inference/model_settings.h"

#include <algorithm>

#include "common/proto_time/proto_time.h"
#include "common/runtime_settings/runtime_settings.h"

namespace slipway::worker {
namespace {

RuntimeSettings ToRuntime(const v1::RuntimeSettings& settings) {
  RuntimeSettings out;
  if (settings.runtime() == v1::RuntimeSettings::TORCH) {
    out.runtime = RuntimeSettings::Runtime::kTorch;
  } else if (settings.runtime() == v1::RuntimeSettings::OPENVINO) {
    out.runtime = RuntimeSettings::Runtime::kOpenVino;
  }
  if (settings.precision() == v1::RuntimeSettings::BFLOAT16) {
    out.precision = RuntimeSettings::Precision::kBfloat16;
  }
  return out;
}

QueuePolicy ToQueue(const v1::Batching::Queue& settings, QueuePolicy queue) {
  if (settings.max_calls() != 0) queue.max_calls = static_cast<size_t>(settings.max_calls());
  if (settings.has_timeout()) queue.timeout = ToDuration(settings.timeout());
  queue.action = settings.action() == v1::Batching::Queue::DELAY ? QueuePolicy::Action::kDelay
                                                                 : QueuePolicy::Action::kReject;
  return queue;
}

PaddingRule ToPadding(const v1::Batching::Padding& settings) {
  PaddingRule rule;
  for (const auto& axis : settings.axes()) {
    rule.axes.push_back({.tensor = axis.tensor(), .axis = axis.axis(), .value = axis.value()});
  }
  rule.buckets.assign(settings.buckets().begin(), settings.buckets().end());
  return rule;
}

BatchPolicy ToBatching(const v1::Batching& settings, BatchPolicy policy) {
  policy.preferred_rows.assign(settings.preferred_rows().begin(), settings.preferred_rows().end());
  if (settings.max_rows() != 0) {
    policy.max_rows = settings.max_rows();
  } else if (!policy.preferred_rows.empty()) {
    policy.max_rows = policy.preferred_rows.back();
  }
  if (settings.has_max_delay()) policy.max_delay = ToDuration(settings.max_delay());
  policy.max_instances = settings.max_instances();
  if (settings.queues_size() > 0) {
    const QueuePolicy defaults = policy.queues[0];
    policy.queues.clear();
    for (const auto& queue : settings.queues()) policy.queues.push_back(ToQueue(queue, defaults));
  }
  policy.default_priority = std::max(0, settings.default_priority() - 1);
  for (const auto& padding : settings.padding()) policy.padding.push_back(ToPadding(padding));
  return policy;
}

ResponseCacheSettings ToCache(const v1::ResponseCache& settings) {
  ResponseCacheSettings cache{.max_bytes = settings.max_bytes()};
  if (settings.has_time_to_live()) cache.time_to_live = ToDuration(settings.time_to_live());
  return cache;
}

SequenceSettings ToSequences(const v1::Sequences& settings) {
  SequenceSettings sequences{.max_sequences = static_cast<size_t>(settings.max_sequences())};
  if (settings.has_idle_timeout()) sequences.idle_timeout = ToDuration(settings.idle_timeout());
  return sequences;
}

}  // namespace

absl::StatusOr<ModelSettings> ParseModelSettings(const v1::RuntimeSettings& settings,
                                                 const BatchPolicy& defaults,
                                                 std::string_view field) {
  RETURN_IF_ERROR(CheckRuntimeSettings(settings, field));
  ModelSettings parsed{.runtime = ToRuntime(settings),
                       .batching = ToBatching(settings.batching(), defaults),
                       .pinned = settings.pinned(),
                       .cache = ToCache(settings.response_cache())};
  if (settings.has_sequences()) parsed.sequences = ToSequences(settings.sequences());
  return parsed;
}

}  // namespace slipway::worker
