#ifndef SLIPWAY_SERVICES_TRAINING_SPEC_ESTIMATE_H_
#define SLIPWAY_SERVICES_TRAINING_SPEC_ESTIMATE_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"
#include "common/nn/network.h"
#include "common/status/status.h"
#include "services/training/spec/spec.h"

// What it takes to train a network, told from its description. The trainer refuses by it, and a
// plan is made of it.
namespace slipway::training {

v1::NetworkSize SizeOf(const nn::Network& network, const Objective& objective);

/// In bytes.
struct MemoryNeed {
  /// Parameters, gradients, state of the optimizer, averages, best weights and those in bfloat16.
  double weights = 0;
  /// Values that a batch leaves for the backward pass, were all of them kept.
  double activations = 0;
};
MemoryNeed MemoryNeedOf(const nn::Network& network, const Spec& spec);

/// The memory of this machine.
int64_t MachineMemory();

/// Refuses a network whose weights alone this machine cannot hold before it tries: on Linux the
/// attempt would succeed, and the kernel kill something later. Each of the `processes` has its own.
/// Errors: InvalidField.
absl::Status CheckMemory(const nn::Network& network, const Spec& spec, int processes);

/// Its type; "" where the spec leaves it to a base.
std::string ArchitectureOf(const v1::JobSpec& spec);

/// How often a step of the optimizer goes through its rows, at most: L-BFGS looks for a better
/// place several times.
double EvaluationsOf(const v1::JobSpec& spec);

/// How long a step of the optimizer over `rows` takes on `cores` of the machine that the constants
/// were measured on (docs/training.md, Plans): so much a layer, a parameter and an operation,
/// each time that it goes through the rows.
absl::Duration StepTime(const v1::NetworkSize& network, const v1::JobSpec& spec, int64_t rows,
                        int cores);

/// Rows that go through the network for one step of gradients from batches.
int64_t RowsOfStep(const v1::LoopSpec& loop);
/// The same of any optimizer, some of which take all `train_rows`.
int64_t RowsOfStep(const Spec& spec, int64_t train_rows);

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SPEC_ESTIMATE_H_
