#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_JSON_TENSOR_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_JSON_TENSOR_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "common/tensor/data_type.h"
#include "common/tensor/shape.h"
#include "simdjson.h"

// For the reader of infer requests only.
namespace slipway::gateway {

/// A place in the request, written out only when there is an error to tell.
struct Place {
  const Place* parent = nullptr;
  std::string_view key;
  std::optional<size_t> index;

  std::string ToString() const;
};

/// InvalidField with the place as field.
absl::Status Wrong(const Place& place, std::string_view problem);

/// Reads a tensor's elements, flat or nested as `shape` says, straight into `raw`, little-endian;
/// a BYTES element is its length and its bytes. `count`: the shape's elements, of which the caller
/// knows that they are no more than the document has bytes.
/// Errors: InvalidField; kDataLoss where the document itself is broken.
absl::Status ReadTensor(simdjson::simdjson_result<simdjson::ondemand::value> data,
                        const Place& place, DataType type, const Shape& shape, int64_t count,
                        std::string& raw);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_JSON_TENSOR_H_
