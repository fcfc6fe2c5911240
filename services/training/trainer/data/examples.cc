#include "services/training/trainer/data/examples.h"

#include <algorithm>
#include <cstring>

namespace slipway::trainer {

void Gather(const Examples& examples, const std::vector<int64_t>& rows, int64_t first, int64_t size,
            Batch& batch) {
  batch.size = size;
  batch.inputs.resize(static_cast<size_t>(size) * examples.row_bytes);
  const auto targets = static_cast<size_t>(examples.targets_per_row);
  batch.classes.resize(examples.classes.empty() ? 0 : static_cast<size_t>(size) * targets);
  batch.values.resize(examples.values.empty() ? 0 : static_cast<size_t>(size));
  for (size_t i = 0; i < static_cast<size_t>(size); ++i) {
    const auto row = static_cast<size_t>(rows[static_cast<size_t>(first) + i]);
    std::memcpy(batch.inputs.data() + i * examples.row_bytes,
                examples.inputs.data() + row * examples.row_bytes, examples.row_bytes);
    if (!batch.classes.empty()) {
      std::copy_n(examples.classes.data() + row * targets, targets,
                  batch.classes.data() + i * targets);
    }
    if (!batch.values.empty()) batch.values[i] = examples.values[row];
  }
}

}  // namespace slipway::trainer
