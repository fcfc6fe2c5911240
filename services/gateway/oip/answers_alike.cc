#include "services/gateway/oip/answers_alike.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "common/tensor/data_type.h"

namespace slipway::gateway {
namespace {

using Output = inference::ModelInferResponse::InferOutputTensor;

constexpr size_t kMaxBytes = 64 << 10;

bool SameForm(const Output& a, const Output& b) {
  return a.name() == b.name() && a.datatype() == b.datatype() &&
         std::equal(a.shape().begin(), a.shape().end(), b.shape().begin(), b.shape().end());
}

double FromHalf(uint16_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = (bits >> 10) & 0x1f;
  const int fraction = bits & 0x3ff;
  if (exponent == 0x1f) return fraction != 0 ? NAN : sign * INFINITY;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  return sign * std::ldexp(fraction + 0x400, exponent - 25);
}

template <class T>
T Load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof(value));
  return value;
}

double FloatAt(DataType type, const char* at) {
  switch (type) {
    case DataType::kFp16:
      return FromHalf(Load<uint16_t>(at));
    case DataType::kBf16: {
      const uint32_t bits = static_cast<uint32_t>(Load<uint16_t>(at)) << 16;
      return Load<float>(reinterpret_cast<const char*>(&bits));
    }
    case DataType::kFp32:
      return Load<float>(at);
    default:
      return Load<double>(at);
  }
}

bool IsFloat(DataType type) {
  return type == DataType::kFp16 || type == DataType::kBf16 || type == DataType::kFp32 ||
         type == DataType::kFp64;
}

bool Alike(double a, double b, double tolerance) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return true;
  // Infinities, too, are like none but themselves.
  const double scale = std::max({1.0, std::abs(a), std::abs(b)});
  return std::isfinite(scale) && std::abs(a - b) <= tolerance * scale;
}

bool ContentsAlike(const std::string& name, const absl::Cord& a, const absl::Cord& b,
                   size_t max_bytes, double tolerance) {
  if (a.size() != b.size()) return false;
  const std::string left(a.Subcord(0, max_bytes));
  const std::string right(b.Subcord(0, max_bytes));
  const auto type = ParseDataType(name);
  if (!type || !IsFloat(*type)) return left == right;
  const size_t size = ElementSize(*type);
  for (size_t at = 0; at + size <= left.size(); at += size) {
    if (!Alike(FloatAt(*type, &left[at]), FloatAt(*type, &right[at]), tolerance)) return false;
  }
  return true;
}

}  // namespace

bool AnswersAlike(const InferAnswer& a, const InferAnswer& b, double tolerance) {
  const auto& outputs = a.head.outputs();
  if (!std::equal(outputs.begin(), outputs.end(), b.head.outputs().begin(), b.head.outputs().end(),
                  SameForm)) {
    return false;
  }
  size_t left = kMaxBytes;
  for (int i = 0; i < outputs.size() && left > 0; ++i) {
    const absl::Cord& content = a.contents[static_cast<size_t>(i)];
    if (!ContentsAlike(outputs[i].datatype(), content, b.contents[static_cast<size_t>(i)], left,
                       tolerance)) {
      return false;
    }
    left -= std::min(left, content.size());
  }
  return true;
}

}  // namespace slipway::gateway
