#ifndef SLIPWAY_COMMON_TENSOR_DATA_TYPE_H_
#define SLIPWAY_COMMON_TENSOR_DATA_TYPE_H_

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace slipway {

/// What an element of a tensor is; the names are the Open Inference Protocol's.
enum class DataType {
  kBool,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kFp16,
  kBf16,
  kFp32,
  kFp64,
  kBytes,
};

inline constexpr std::array<DataType, 14> kAllDataTypes = {
    DataType::kBool, DataType::kUint8, DataType::kUint16, DataType::kUint32, DataType::kUint64,
    DataType::kInt8, DataType::kInt16, DataType::kInt32,  DataType::kInt64,  DataType::kFp16,
    DataType::kBf16, DataType::kFp32,  DataType::kFp64,   DataType::kBytes};

/// "FP32".
std::string_view DataTypeName(DataType type);

/// The inverse; nothing for an unknown name. Case matters.
std::optional<DataType> ParseDataType(std::string_view name);

/// Bytes of one element; 0 for kBytes, whose elements differ in length.
size_t ElementSize(DataType type);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_TENSOR_DATA_TYPE_H_
