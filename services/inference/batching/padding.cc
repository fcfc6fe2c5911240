#include "services/inference/batching/padding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>

#include "fmt/format.h"
#include "services/inference/signature.h"

namespace slipway::worker {
namespace {

template <class T>
std::string BytesOf(T value) {
  return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
}

template <class T>
std::optional<std::string> Element(double value) {
  if constexpr (std::is_floating_point_v<T>) {
    const auto element = static_cast<T>(value);
    if (std::isfinite(value) && !std::isfinite(element)) return std::nullopt;
    return BytesOf(element);
  } else {
    const bool fits = value == std::trunc(value) &&
                      value >= static_cast<double>(std::numeric_limits<T>::lowest()) &&
                      value < std::ldexp(1.0, std::numeric_limits<T>::digits);
    if (!fits) return std::nullopt;
    return BytesOf(static_cast<T>(value));
  }
}

// An element of that type; nothing where the value is none, or is not written here.
std::optional<std::string> ElementOf(DataType type, double value) {
  switch (type) {
    case DataType::kBool:
      return value == 0 || value == 1 ? Element<uint8_t>(value) : std::nullopt;
    case DataType::kUint8:
      return Element<uint8_t>(value);
    case DataType::kUint16:
      return Element<uint16_t>(value);
    case DataType::kUint32:
      return Element<uint32_t>(value);
    case DataType::kUint64:
      return Element<uint64_t>(value);
    case DataType::kInt8:
      return Element<int8_t>(value);
    case DataType::kInt16:
      return Element<int16_t>(value);
    case DataType::kInt32:
      return Element<int32_t>(value);
    case DataType::kInt64:
      return Element<int64_t>(value);
    case DataType::kFp32:
      return Element<float>(value);
    case DataType::kFp64:
      return Element<double>(value);
    case DataType::kFp16:
    case DataType::kBf16:
      return value == 0 ? Element<uint16_t>(value) : std::nullopt;
    case DataType::kBytes:
      break;
  }
  return std::nullopt;
}

absl::StatusOr<Padding::Place> FindPlace(const PaddingRule::Axis& axis, const TensorSpec& spec,
                                         bool is_input, const std::string& field) {
  const auto place = static_cast<size_t>(axis.axis);
  if (axis.axis < 1 || place >= spec.shape.rank() || spec.shape[place] != Shape::kAny) {
    return InvalidField(field + ".axis",
                        fmt::format("{} is not free: {}", axis.axis, ToText(spec)));
  }
  if (spec.dtype == DataType::kBytes) {
    return InvalidField(field + ".tensor", ToText(spec) + ", and texts are not padded");
  }
  Padding::Place found{.tensor = 0, .axis = place, .dimension = 0, .fill = ""};
  if (!is_input) {
    if (axis.value == 0) return found;
    return InvalidField(field + ".value", fmt::format("{} is an output", spec.name));
  }
  const std::optional<std::string> fill = ElementOf(spec.dtype, axis.value);
  if (!fill) {
    return InvalidField(field + ".value",
                        fmt::format("{} cannot be put into {}", axis.value, ToText(spec)));
  }
  found.fill = *fill;
  return found;
}

// The first free axis, but the batch, that no place names.
std::optional<std::pair<size_t, size_t>> FindUnnamed(const std::vector<TensorSpec>& specs,
                                                     const std::vector<Padding::Place>& places) {
  for (size_t tensor = 0; tensor < specs.size(); ++tensor) {
    for (size_t axis = 1; axis < specs[tensor].shape.rank(); ++axis) {
      if (specs[tensor].shape[axis] != Shape::kAny) continue;
      if (std::ranges::none_of(places, [&](const Padding::Place& place) {
            return place.tensor == tensor && place.axis == axis;
          })) {
        return std::pair(tensor, axis);
      }
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<Padding> Padding::Make(const std::vector<PaddingRule>& rules,
                                      const Signature& signature, std::string_view field) {
  Padding padding;
  if (rules.empty()) return padding;
  if (!TakesBatches(signature)) {
    return InvalidField(field,
                        "the first dimension of the model's tensors is not free: no calls "
                        "run together");
  }
  for (size_t rule = 0; rule < rules.size(); ++rule) {
    const size_t inputs_before = padding.inputs_.size();
    for (size_t i = 0; i < rules[rule].axes.size(); ++i) {
      const PaddingRule::Axis& axis = rules[rule].axes[i];
      const std::string at = fmt::format("{}[{}].axes[{}]", field, rule, i);
      const std::optional<size_t> input = IndexOf(signature.inputs, axis.tensor);
      const std::optional<size_t> output = IndexOf(signature.outputs, axis.tensor);
      if (!input && !output) {
        return InvalidField(at + ".tensor",
                            fmt::format("the model has no tensor \"{}\"", axis.tensor));
      }
      const TensorSpec& spec = input ? signature.inputs[*input] : signature.outputs[*output];
      ASSIGN_OR_RETURN(Place place, FindPlace(axis, spec, input.has_value(), at));
      place.tensor = input ? *input : *output;
      place.dimension = rule;
      for (const Place& other : padding.inputs_) {
        if (!input || other.tensor != place.tensor || other.fill == place.fill) continue;
        return InvalidField(at + ".value", fmt::format("{} is filled up with another value along "
                                                       "axis {}",
                                                       axis.tensor, other.axis));
      }
      (input ? padding.inputs_ : padding.outputs_).push_back(std::move(place));
    }
    if (padding.inputs_.size() == inputs_before) {
      return InvalidField(fmt::format("{}[{}].axes", field, rule), "names no input of the model");
    }
    padding.buckets_.push_back(rules[rule].buckets);
  }
  const auto unnamed = FindUnnamed(signature.outputs, padding.outputs_);
  // Where a free dimension of the inputs is not padded, it may be that one.
  if (unnamed && !FindUnnamed(signature.inputs, padding.inputs_)) {
    return InvalidField(field,
                        fmt::format("does not say what axis {} is cut back to: {}", unnamed->second,
                                    ToText(signature.outputs[unnamed->first])));
  }
  return padding;
}

std::vector<int64_t> Padding::LengthsOf(const TensorBatch& inputs) const {
  static constexpr int64_t kUnknown = -1;
  std::vector<int64_t> lengths(buckets_.size(), kUnknown);
  for (const Place& place : inputs_) {
    const int64_t length = inputs[place.tensor].shape()[place.axis];
    int64_t& known = lengths[place.dimension];
    if (length == 0 || (known != kUnknown && known != length)) return {};
    known = length;
  }
  return lengths;
}

std::vector<int64_t> Padding::RoundUp(const std::vector<int64_t>& lengths) const {
  std::vector<int64_t> rounded = lengths;
  for (size_t i = 0; i < lengths.size(); ++i) {
    const auto bucket = std::ranges::lower_bound(buckets_[i], lengths[i]);
    if (bucket != buckets_[i].end()) rounded[i] = *bucket;
  }
  return PositionsOf(rounded) <= kMostTimes * PositionsOf(lengths) ? rounded : lengths;
}

bool Padding::Pads(size_t input, size_t axis) const {
  return std::ranges::any_of(
      inputs_, [&](const Place& place) { return place.tensor == input && place.axis == axis; });
}

bool CommonLengths::Admits(const BatchCall& call) const {
  if (fewest_ == 0) return true;
  double positions = 1;
  for (size_t i = 0; i < lengths_.size(); ++i) {
    positions *= static_cast<double>(std::max(lengths_[i], call.padded[i]));
  }
  return positions <= Padding::kMostTimes * std::min(fewest_, PositionsOf(call.lengths));
}

void CommonLengths::Add(const BatchCall& call) {
  const double positions = PositionsOf(call.lengths);
  fewest_ = fewest_ == 0 ? positions : std::min(fewest_, positions);
  lengths_.resize(call.padded.size());
  for (size_t i = 0; i < lengths_.size(); ++i) lengths_[i] = std::max(lengths_[i], call.padded[i]);
}

double CommonLengths::positions() const { return PositionsOf(lengths_); }

double PositionsOf(const std::vector<int64_t>& lengths) {
  double positions = 1;
  for (const int64_t length : lengths) positions *= static_cast<double>(length);
  return positions;
}

}  // namespace slipway::worker
