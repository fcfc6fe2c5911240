#include "common/tensor/shape.h"

#include "fmt/format.h"
#include "fmt/ranges.h"

namespace slipway {

absl::StatusOr<int64_t> Shape::ElementCount(std::string_view field) const {
  if (rank() > kMaxRank) {
    return InvalidField(field,
                        fmt::format("has {} dimensions; at most {} are taken", rank(), kMaxRank));
  }
  int64_t count = 1;
  bool overflow = false;
  bool empty = false;
  for (const int64_t dim : dims_) {
    if (dim < 0) return InvalidField(field, fmt::format("{} has a negative dimension", ToString()));
    empty |= dim == 0;
    // A zero does not hide an overflow beside it, so that the product of any part fits as well.
    overflow |= dim != 0 && __builtin_mul_overflow(count, dim, &count);
  }
  if (overflow) return InvalidField(field, fmt::format("{} has too many elements", ToString()));
  return empty ? 0 : count;
}

absl::StatusOr<int64_t> Shape::ByteCount(DataType type, std::string_view field) const {
  ASSIGN_OR_RETURN(const int64_t count, ElementCount(field));
  int64_t bytes = 0;
  if (__builtin_mul_overflow(count, static_cast<int64_t>(ElementSize(type)), &bytes)) {
    return InvalidField(field,
                        fmt::format("{} of {} has too many bytes", ToString(), DataTypeName(type)));
  }
  return bytes;
}

int64_t Shape::Product(size_t first) const {
  int64_t product = 1;
  for (size_t i = first; i < rank(); ++i) product *= dims_[i];
  return product;
}

std::string Shape::ToString() const { return fmt::format("[{}]", fmt::join(dims_, ", ")); }

}  // namespace slipway
