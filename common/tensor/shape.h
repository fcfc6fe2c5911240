#ifndef SLIPWAY_COMMON_TENSOR_SHAPE_H_
#define SLIPWAY_COMMON_TENSOR_SHAPE_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/status/status.h"
#include "common/tensor/data_type.h"

namespace slipway {

/// The sizes of a tensor's dimensions, outermost first; none for a scalar. Any numbers: counts
/// are checked when they are asked for. In a TensorSpec -1 is a dimension of any size. A value.
class Shape {
 public:
  /// No tensor here needs more, and no caller gets more.
  static constexpr size_t kMaxRank = 16;
  static constexpr int64_t kAny = -1;

  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {}

  size_t rank() const { return dims_.size(); }
  const std::vector<int64_t>& dims() const { return dims_; }
  int64_t operator[](size_t i) const { return dims_[i]; }
  int64_t& operator[](size_t i) { return dims_[i]; }
  bool operator==(const Shape&) const = default;

  /// How many elements there are. Errors: InvalidField(field) for a negative dimension, for more
  /// than kMaxRank dimensions and where the product passes 63 bits.
  absl::StatusOr<int64_t> ElementCount(std::string_view field) const;

  /// ElementCount times the element's size; 0 for BYTES. The same errors.
  absl::StatusOr<int64_t> ByteCount(DataType type, std::string_view field) const;

  /// The product of the dimensions from `first` on; all are known to be >= 0 and to fit. Free
  /// dimensions are not allowed among them.
  int64_t Product(size_t first = 0) const;

  /// "[-1, 28, 28]"
  std::string ToString() const;

 private:
  std::vector<int64_t> dims_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_TENSOR_SHAPE_H_
