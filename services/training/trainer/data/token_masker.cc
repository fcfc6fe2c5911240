#include "services/training/trainer/data/token_masker.h"

#include <cstring>
#include <numeric>
#include <utility>

#include "services/training/trainer/data/random.h"

namespace slipway::trainer {
namespace {

// Apart from those of the splits, of the orders of epochs and of pictures.
constexpr uint64_t kStream = uint64_t{1} << 60;

// What becomes of a token that is asked for.
float Hidden(float id, int32_t mask, Random& random) {
  const uint64_t tenth = random.Below(10);
  if (tenth < 8) return static_cast<float>(mask);
  if (tenth == 8) return id;
  const auto tokens = static_cast<uint64_t>(mask - Tokenizer::kFirstToken);
  return static_cast<float>(Tokenizer::kFirstToken + random.Below(tokens));
}

}  // namespace

TokenMasker::TokenMasker(const training::MaskedToken& objective, const Tokenizer& tokenizer,
                         int64_t length, uint64_t seed)
    : length_(length),
      count_(objective.CountOf(length)),
      mask_(tokenizer.mask().value()),
      seed_(seed) {}

void TokenMasker::Apply(int64_t place, Batch& batch) const {
  batch.classes.clear();
  batch.steps.clear();
  std::vector<int64_t> order(static_cast<size_t>(length_));
  for (int64_t row = 0; row < batch.size; ++row) {
    Random random(seed_, kStream + static_cast<uint64_t>(place + row));
    std::iota(order.begin(), order.end(), row * length_);
    for (int64_t i = 0; i < count_; ++i) {
      // The first of a random order.
      const auto at = static_cast<size_t>(i);
      std::swap(order[at], order[at + random.Below(static_cast<uint64_t>(length_ - i))]);
      char* const input = batch.inputs.data() + static_cast<size_t>(order[at]) * sizeof(float);
      float id = 0;
      std::memcpy(&id, input, sizeof(id));
      batch.steps.push_back(order[at]);
      batch.classes.push_back(static_cast<int64_t>(id));
      id = Hidden(id, mask_, random);
      std::memcpy(input, &id, sizeof(id));
    }
  }
}

}  // namespace slipway::trainer
