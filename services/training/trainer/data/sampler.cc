#include "services/training/trainer/data/sampler.h"

#include <algorithm>
#include <utility>

#include "services/training/trainer/data/random.h"

namespace slipway::trainer {

Sampler::Sampler(std::vector<int64_t> rows, int64_t batch_size, uint64_t seed)
    : rows_(std::move(rows)), batch_size_(batch_size), seed_(seed) {
  const int64_t count = std::ssize(rows_);
  steps_ = (count + batch_size_ - 1) / batch_size_;
  if (steps_ > 1 && count % batch_size_ == 1) --steps_;
}

Sampler::Slice Sampler::At(int64_t step) {
  const int64_t epoch = step / steps_;
  if (epoch != epoch_) {
    order_ = rows_;
    Shuffle(order_, Random(seed_, static_cast<uint64_t>(epoch)));
    epoch_ = epoch;
  }
  const int64_t first = step % steps_ * batch_size_;
  return {&order_, first, std::min(batch_size_, std::ssize(order_) - first)};
}

Part PartOf(int64_t size, int rank, int processes) {
  const int64_t parts = std::clamp<int64_t>(size / 2, 1, processes);
  if (rank >= parts) return {};
  const int64_t first = size * rank / parts;
  return {first, size * (rank + 1) / parts - first};
}

}  // namespace slipway::trainer
