#ifndef SLIPWAY_COMMON_IDX_IDX_H_
#define SLIPWAY_COMMON_IDX_IDX_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "common/tensor/shape.h"

namespace slipway {

/// An array of bytes in the IDX format of MNIST (http://yann.lecun.com/exdb/mnist): two zero
/// bytes, the type (8: unsigned byte, the only one taken), the rank, each dimension as a
/// big-endian uint32, then the elements, row-major.
struct IdxArray {
  Shape shape;
  std::string elements;
};

/// What such an array begins with.
struct IdxHeader {
  Shape shape;       // of one dimension at least, and no empty one
  size_t bytes = 0;  // of the header itself

  /// Of what `beginning` begins with, unpacked. Errors: as ReadIdx's.
  static absl::StatusOr<IdxHeader> Parse(std::string_view beginning, std::string_view name);

  int64_t item_bytes() const { return shape.Product(1); }
};

/// Reads a whole file, packed by gzip or not. Every size is checked against the file before
/// memory is taken. Errors: kInvalidArgument that begins with `name`, what a person calls it.
absl::StatusOr<IdxArray> ReadIdx(const std::string& path, std::string_view name);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_IDX_IDX_H_
