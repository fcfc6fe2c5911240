#include "common/tensor/data_type.h"

namespace slipway {
namespace {

struct Row {
  std::string_view name;
  size_t size;
};

// In the order of the enumeration.
constexpr std::array<Row, kAllDataTypes.size()> kRows = {{{"BOOL", 1},
                                                          {"UINT8", 1},
                                                          {"UINT16", 2},
                                                          {"UINT32", 4},
                                                          {"UINT64", 8},
                                                          {"INT8", 1},
                                                          {"INT16", 2},
                                                          {"INT32", 4},
                                                          {"INT64", 8},
                                                          {"FP16", 2},
                                                          {"BF16", 2},
                                                          {"FP32", 4},
                                                          {"FP64", 8},
                                                          {"BYTES", 0}}};

}  // namespace

std::string_view DataTypeName(DataType type) { return kRows[static_cast<size_t>(type)].name; }

std::optional<DataType> ParseDataType(std::string_view name) {
  for (const DataType type : kAllDataTypes) {
    if (DataTypeName(type) == name) return type;
  }
  return std::nullopt;
}

size_t ElementSize(DataType type) { return kRows[static_cast<size_t>(type)].size; }

}  // namespace slipway
