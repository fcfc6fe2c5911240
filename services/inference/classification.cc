#include "services/inference/classification.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "fmt/format.h"

namespace slipway::worker {
namespace {

float FromBf16(uint16_t bits) { return std::bit_cast<float>(uint32_t{bits} << 16); }

// IEEE 754 binary16.
float FromFp16(uint16_t bits) {
  const float sign = (bits & 0x8000) != 0 ? -1.0F : 1.0F;
  const int exponent = (bits >> 10) & 0x1f;
  const auto fraction = static_cast<float>(bits & 0x3ff);
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent == 31) {
    return fraction == 0 ? sign * std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  }
  return sign * std::ldexp(1024.0F + fraction, exponent - 25);
}

// Data need not be aligned.
template <class T>
T Load(std::string_view data, int64_t at) {
  T value;
  std::memcpy(&value, data.data() + static_cast<size_t>(at) * sizeof(T), sizeof(T));
  return value;
}

std::string ScoreText(double score) { return fmt::format("{:f}", score); }
std::string ScoreText(float score) { return fmt::format("{:f}", score); }
template <class T>
std::string ScoreText(T score) {
  return fmt::format("{}", score);
}

// The best `count` of the `classes` elements from `first` on.
template <class Score>
void AddTop(Score score, int64_t first, int64_t classes, int64_t count,
            const std::vector<std::string>& labels, std::vector<std::string>& out) {
  std::vector<int64_t> order(static_cast<size_t>(classes));
  std::iota(order.begin(), order.end(), 0);
  // NaN is below everything, so that the order stays one.
  const auto better = [&](int64_t a, int64_t b) {
    const auto x = score(first + a);
    const auto y = score(first + b);
    const bool x_is_nan = x != x;
    const bool y_is_nan = y != y;
    if (x_is_nan != y_is_nan) return y_is_nan;
    if (x_is_nan || x == y) return a < b;
    return x > y;
  };
  std::partial_sort(order.begin(), order.begin() + count, order.end(), better);
  for (int64_t i = 0; i < count; ++i) {
    const int64_t index = order[static_cast<size_t>(i)];
    std::string text = fmt::format("{}:{}", ScoreText(score(first + index)), index);
    if (static_cast<size_t>(index) < labels.size()) {
      text += ':';
      text += labels[static_cast<size_t>(index)];
    }
    out.push_back(std::move(text));
  }
}

}  // namespace

absl::StatusOr<Tensor> TopClasses(const Tensor& scores, bool batched, int64_t count,
                                  const std::vector<std::string>& labels) {
  const bool by_row = batched && scores.shape().rank() > 0;
  const int64_t rows = by_row ? scores.shape()[0] : 1;
  const int64_t classes = rows == 0 ? 0 : scores.element_count() / rows;
  count = std::min(count, classes);
  std::vector<std::string> texts;
  const std::string_view data = scores.data().view();
  const auto add_rows = [&](auto score) {
    for (int64_t row = 0; row < rows; ++row) {
      AddTop(score, row * classes, classes, count, labels, texts);
    }
  };
  const auto add = [&]<class T>(T) { add_rows([data](int64_t at) { return Load<T>(data, at); }); };
  switch (scores.dtype()) {
    case DataType::kFp32:
      add(float{});
      break;
    case DataType::kFp64:
      add(double{});
      break;
    case DataType::kFp16:
      add_rows([data](int64_t at) { return FromFp16(Load<uint16_t>(data, at)); });
      break;
    case DataType::kBf16:
      add_rows([data](int64_t at) { return FromBf16(Load<uint16_t>(data, at)); });
      break;
    case DataType::kInt8:
      add(int8_t{});
      break;
    case DataType::kInt16:
      add(int16_t{});
      break;
    case DataType::kInt32:
      add(int32_t{});
      break;
    case DataType::kInt64:
      add(int64_t{});
      break;
    case DataType::kUint8:
      add(uint8_t{});
      break;
    case DataType::kUint16:
      add(uint16_t{});
      break;
    case DataType::kUint32:
      add(uint32_t{});
      break;
    case DataType::kUint64:
      add(uint64_t{});
      break;
    case DataType::kBool:
    case DataType::kBytes:
      return absl::InvalidArgumentError(
          fmt::format("{} has no scores to classify by", DataTypeName(scores.dtype())));
  }
  return Tensor::Make(scores.name(), DataType::kBytes,
                      by_row ? Shape({rows, count}) : Shape({count}),
                      Buffer::Own(EncodeTexts(texts)), scores.name());
}

}  // namespace slipway::worker
