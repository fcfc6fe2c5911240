#include "services/training/trainer/data/random.h"

#include <utility>

namespace slipway::trainer {
namespace {

uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

constexpr uint64_t kStride = 0x9e3779b97f4a7c15;

}  // namespace

Random::Random(uint64_t seed, uint64_t stream) : state_(Mix(seed + kStride) ^ Mix(~stream)) {}

uint64_t Random::Next() { return Mix(state_ += kStride); }

uint64_t Random::Below(uint64_t bound) {
  // Numbers from the last, incomplete round of `bound` would favour the small ones.
  const uint64_t fair = UINT64_MAX - UINT64_MAX % bound;
  uint64_t value = Next();
  while (value >= fair) value = Next();
  return value % bound;
}

void Shuffle(std::vector<int64_t>& rows, Random random) {
  for (size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[random.Below(i)]);
}

}  // namespace slipway::trainer
