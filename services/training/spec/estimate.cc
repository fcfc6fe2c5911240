#include "services/training/spec/estimate.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <variant>

#include "common/fields/kinds.h"
#include "common/nn/fine_tuning.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/training/spec/optimizer.h"

namespace slipway::training {
namespace {

constexpr double kGiB = 1 << 30;

// Measured: what a step costs for each layer whatever its size, and how many operations a core does
// in a second.
struct Speed {
  double seconds_a_layer;
  double flops_a_core;
};
Speed SpeedOf(const std::string& architecture) {
  if (architecture == "mlp") return {5e-5, 6e10};
  if (architecture == "cnn" || architecture == "resnet") return {1.4e-4, 4e10};
  if (architecture == "rnn" || architecture == "lstm" || architecture == "gru") {
    return {2e-4, 5e10};
  }
  return {1e-4, 3e10};
}
// Of the optimizer, which reads and writes several numbers for each.
constexpr double kSecondsAParameter = 8e-9;
// Of L-BFGS with a line search, as PyTorch limits them.
constexpr double kEvaluationsAnIteration = 1.25;
// A backward pass is two products for each one of the forward pass.
constexpr double kPasses = 3;

}  // namespace

v1::NetworkSize SizeOf(const nn::Network& network, const Objective& objective) {
  v1::NetworkSize size;
  size.set_parameters(network.trainable_count());
  size.set_row_flops(network.flops());
  if (const auto* masked = std::get_if<MaskedToken>(&objective)) {
    // Of its head only what is asked for is computed.
    const int64_t steps = network.value(network.head()).shape[1];
    const double spared =
        1 - static_cast<double>(masked->CountOf(steps)) / static_cast<double>(steps);
    size.set_row_flops(size.row_flops() - spared * network.flops(nn::HeadOf(network)));
  }
  size.set_layers(static_cast<int32_t>(network.layers().size()));
  return size;
}

MemoryNeed MemoryNeedOf(const nn::Network& network, const Spec& spec) {
  const v1::LoopSpec& loop = spec.job.training();
  const double copies = 2 + static_cast<double>(StateCopies(spec.optimizer)) +
                        (loop.ema_decay() > 0 ? 1 : 0) + (loop.has_early_stopping() ? 1 : 0) +
                        (loop.precision() == kBfloat16 ? 0.5 : 0);
  MemoryNeed need;
  // Of what is frozen there is no copy.
  need.weights = static_cast<double>(network.parameter_bytes()) +
                 static_cast<double>(network.trainable_count()) * sizeof(float) * (copies - 1);
  for (const TensorSpec& value : network.values()) {
    need.activations += static_cast<double>(value.shape.Product(1)) *
                        static_cast<double>(ElementSize(value.dtype)) * loop.batch_size();
  }
  return need;
}

int64_t MachineMemory() {
  return int64_t{::sysconf(_SC_PHYS_PAGES)} * int64_t{::sysconf(_SC_PAGE_SIZE)};
}

absl::Status CheckMemory(const nn::Network& network, const Spec& spec, int processes) {
  const double needed = processes * MemoryNeedOf(network, spec).weights;
  const auto machine = static_cast<double>(MachineMemory());
  if (needed <= machine) return absl::OkStatus();
  return InvalidField("spec.architecture",
                      fmt::format("training {} parameters takes {:.1f} GiB, and the machine has "
                                  "{:.1f}",
                                  network.trainable_count(), needed / kGiB, machine / kGiB));
}

int64_t RowsOfStep(const v1::LoopSpec& loop) {
  return int64_t{loop.batch_size()} * std::max(1, loop.accumulate());
}

int64_t RowsOfStep(const Spec& spec, int64_t train_rows) {
  return TakesAllRows(spec.optimizer) ? train_rows : RowsOfStep(spec.job.training());
}

std::string ArchitectureOf(const v1::JobSpec& spec) {
  const auto type = spec.architecture().fields().find("type");
  return type == spec.architecture().fields().end() ? "" : type->second.string_value();
}

double EvaluationsOf(const v1::JobSpec& spec) {
  const auto optimizer = ParseVariant<Optimizer>(ToJson(spec.optimizer()), "");
  const auto* const lbfgs = optimizer.ok() ? std::get_if<Lbfgs>(&*optimizer) : nullptr;
  if (lbfgs == nullptr) return 1;
  const auto iterations = static_cast<double>(lbfgs->iterations);
  return lbfgs->line_search == Lbfgs::LineSearch::kNone ? iterations
                                                        : iterations * kEvaluationsAnIteration;
}

absl::Duration StepTime(const v1::NetworkSize& network, const v1::JobSpec& spec, int64_t rows,
                        int cores) {
  const Speed speed = SpeedOf(ArchitectureOf(spec));
  const int64_t batch_size = std::max(1, spec.training().batch_size());
  const auto batches = static_cast<double>((rows + batch_size - 1) / batch_size);
  const double seconds = batches * network.layers() * speed.seconds_a_layer +
                         static_cast<double>(network.parameters()) * kSecondsAParameter +
                         static_cast<double>(rows) * kPasses * network.row_flops() /
                             (speed.flops_a_core * std::max(1, cores));
  return absl::Seconds(seconds * EvaluationsOf(spec));
}

}  // namespace slipway::training
