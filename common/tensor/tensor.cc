#include "common/tensor/tensor.h"

#include <cstring>

#include "fmt/format.h"

namespace slipway {
namespace {

// Little-endian, as every machine that we build for is.
uint32_t LoadLength(const char* at) {
  uint32_t length = 0;
  std::memcpy(&length, at, sizeof(length));
  return length;
}

// OK where `data` is exactly `count` elements of BYTES.
absl::Status CheckTexts(std::string_view data, int64_t count, std::string_view field) {
  // Each element takes at least its length, so a count beyond that needs no loop.
  if (count > static_cast<int64_t>(data.size() / sizeof(uint32_t))) {
    return InvalidField(field, fmt::format("holds fewer than {} BYTES elements", count));
  }
  for (int64_t i = 0; i < count; ++i) {
    if (data.size() < sizeof(uint32_t) ||
        data.size() - sizeof(uint32_t) < LoadLength(data.data())) {
      return InvalidField(field, fmt::format("ends within BYTES element {}", i));
    }
    data.remove_prefix(sizeof(uint32_t) + LoadLength(data.data()));
  }
  if (!data.empty()) {
    return InvalidField(
        field, fmt::format("holds {} bytes after its {} BYTES elements", data.size(), count));
  }
  return absl::OkStatus();
}

}  // namespace

Buffer Buffer::Own(std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  const std::string_view view = *owner;
  return Buffer(view, std::move(owner));
}

Buffer Buffer::Share(std::string_view bytes, std::shared_ptr<const void> owner) {
  return Buffer(bytes, std::move(owner));
}

absl::Status TensorSpec::CheckShape(const Shape& actual, std::string_view field) const {
  bool fits = actual.rank() == shape.rank();
  for (size_t i = 0; fits && i < shape.rank(); ++i) {
    fits = shape[i] == Shape::kAny ? actual[i] >= 0 : shape[i] == actual[i];
  }
  if (fits) return absl::OkStatus();
  return InvalidField(field,
                      fmt::format("must be {}, got {}", shape.ToString(), actual.ToString()));
}

absl::StatusOr<Tensor> Tensor::Make(std::string name, DataType dtype, Shape shape, Buffer data,
                                    std::string_view field) {
  // The field's full path is made only where an error needs it.
  const absl::StatusOr<int64_t> bytes = shape.ByteCount(dtype, field);
  if (!bytes.ok()) return shape.ByteCount(dtype, fmt::format("{}.shape", field)).status();
  if (dtype == DataType::kBytes) {
    ASSIGN_OR_RETURN(const int64_t count, shape.ElementCount(field));
    RETURN_IF_ERROR(CheckTexts(data.view(), count, field));
  } else if (static_cast<uint64_t>(*bytes) != data.size()) {
    return InvalidField(field,
                        fmt::format("{} of shape {} takes {} bytes, got {}", DataTypeName(dtype),
                                    shape.ToString(), *bytes, data.size()));
  }
  Tensor tensor;
  tensor.name_ = std::move(name);
  tensor.dtype_ = dtype;
  tensor.shape_ = std::move(shape);
  tensor.data_ = std::move(data);
  return tensor;
}

Tensor Tensor::Renamed(std::string name) const {
  Tensor tensor;
  tensor.name_ = std::move(name);
  tensor.dtype_ = dtype_;
  tensor.shape_ = shape_;
  tensor.data_ = data_;
  return tensor;
}

absl::Status Tensor::CheckAgainst(const TensorSpec& spec, std::string_view field) const {
  if (name_ != spec.name) {
    return InvalidField(fmt::format("{}.name", field),
                        fmt::format("must be {}, got {}", spec.name, name_));
  }
  if (dtype_ != spec.dtype) {
    return InvalidField(
        fmt::format("{}.datatype", field),
        fmt::format("must be {}, got {}", DataTypeName(spec.dtype), DataTypeName(dtype_)));
  }
  if (spec.CheckShape(shape_, field).ok()) return absl::OkStatus();
  return spec.CheckShape(shape_, fmt::format("{}.shape", field));
}

std::vector<std::string_view> Tensor::Texts() const {
  std::vector<std::string_view> texts;
  if (dtype_ != DataType::kBytes) return texts;
  std::string_view rest = data_.view();
  while (!rest.empty()) {  // Make() has checked that the elements add up
    const uint32_t length = LoadLength(rest.data());
    texts.push_back(rest.substr(sizeof(uint32_t), length));
    rest.remove_prefix(sizeof(uint32_t) + length);
  }
  return texts;
}

std::string EncodeTexts(const std::vector<std::string>& elements) {
  std::string data;
  for (const std::string& element : elements) {
    const auto length = static_cast<uint32_t>(element.size());
    data.append(reinterpret_cast<const char*>(&length), sizeof(length));
    data.append(element);
  }
  return data;
}

}  // namespace slipway
