#include "services/training/trainer/data/examples.h"

#include <cstring>

namespace slipway::trainer {

void Gather(const Examples& examples, const std::vector<int64_t>& rows, int64_t first, int64_t size,
            Batch& batch) {
  batch.size = size;
  batch.inputs.resize(static_cast<size_t>(size) * examples.row_bytes);
  batch.classes.resize(examples.classes.empty() ? 0 : static_cast<size_t>(size));
  batch.values.resize(examples.values.empty() ? 0 : static_cast<size_t>(size));
  for (size_t i = 0; i < static_cast<size_t>(size); ++i) {
    const auto row = static_cast<size_t>(rows[static_cast<size_t>(first) + i]);
    std::memcpy(batch.inputs.data() + i * examples.row_bytes,
                examples.inputs.data() + row * examples.row_bytes, examples.row_bytes);
    if (!batch.classes.empty()) batch.classes[i] = examples.classes[row];
    if (!batch.values.empty()) batch.values[i] = examples.values[row];
  }
}

}  // namespace slipway::trainer
