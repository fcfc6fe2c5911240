#ifndef SLIPWAY_COMMON_TENSOR_TENSOR_H_
#define SLIPWAY_COMMON_TENSOR_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/data_type.h"
#include "common/tensor/shape.h"

namespace slipway {

/// Bytes that are read but not written, and whoever keeps them alive. Copying shares them.
/// Any number of threads may read.
class Buffer {
 public:
  Buffer() = default;

  /// Takes the bytes over.
  static Buffer Own(std::string bytes);
  /// Bytes inside something that `owner` keeps alive (a request, a mapped file).
  static Buffer Share(std::string_view bytes, std::shared_ptr<const void> owner);
  /// Bytes that outlive every copy of this buffer.
  static Buffer Borrow(std::string_view bytes) { return Buffer(bytes, nullptr); }

  std::string_view view() const { return bytes_; }
  const char* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }
  /// May be null (borrowed).
  const std::shared_ptr<const void>& owner() const { return owner_; }

  /// A part of it, with the same owner.
  Buffer Slice(size_t offset, size_t size) const {
    return Buffer(bytes_.substr(offset, size), owner_);
  }

 private:
  Buffer(std::string_view bytes, std::shared_ptr<const void> owner)
      : bytes_(bytes), owner_(std::move(owner)) {}

  std::string_view bytes_;
  std::shared_ptr<const void> owner_;
};

/// What a tensor must look like: -1 in the shape is a dimension of any size. A value.
struct TensorSpec {
  std::string name;
  DataType dtype = DataType::kFp32;
  Shape shape;

  bool operator==(const TensorSpec&) const = default;

  /// OK where `actual` fits the spec's shape; else InvalidField(field) with both shapes.
  absl::Status CheckShape(const Shape& actual, std::string_view field) const;
};

/// A tensor: row-major little-endian elements. BYTES elements are a uint32 length, then that many
/// bytes. Data and shape always fit together. A value; copying shares the data.
class Tensor {
 public:
  Tensor() = default;

  /// Errors: InvalidField(field + ".shape") for an impossible shape, InvalidField(field) where
  /// the data's size differs from what type and shape say, or BYTES elements do not add up.
  static absl::StatusOr<Tensor> Make(std::string name, DataType dtype, Shape shape, Buffer data,
                                     std::string_view field);

  /// The same elements, in the same memory.
  Tensor Renamed(std::string name) const;

  const std::string& name() const { return name_; }
  DataType dtype() const { return dtype_; }
  const Shape& shape() const { return shape_; }
  const Buffer& data() const { return data_; }
  int64_t element_count() const { return shape_.Product(); }

  /// OK where name, type and shape are those of `spec`; else InvalidField below `field`.
  absl::Status CheckAgainst(const TensorSpec& spec, std::string_view field) const;

  /// The elements of a BYTES tensor; views into data().
  std::vector<std::string_view> Texts() const;

 private:
  std::string name_;
  DataType dtype_ = DataType::kFp32;
  Shape shape_ = {0};
  Buffer data_;
};

/// Elements as the data of a BYTES tensor.
std::string EncodeTexts(const std::vector<std::string>& elements);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_TENSOR_TENSOR_H_
