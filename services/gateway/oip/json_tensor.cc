#include "services/gateway/oip/json_tensor.h"

#include <cmath>
#include <cstring>
#include <type_traits>
#include <utility>

#include "fmt/format.h"

namespace slipway::gateway {
namespace {

namespace sj = simdjson::ondemand;
using simdjson::error_code;
using simdjson::SUCCESS;

// One element of a tensor from its JSON value into `out`; not SUCCESS where it does not fit.
template <class T>
error_code ReadElement(simdjson::simdjson_result<sj::value> value, T& out) {
  if constexpr (std::is_same_v<T, bool>) {
    return value.get_bool().get(out);
  } else if constexpr (std::is_same_v<T, double>) {
    return value.get_double().get(out);
  } else if constexpr (std::is_same_v<T, float>) {
    double wide = 0;
    if (const error_code error = value.get_double().get(wide); error != SUCCESS) return error;
    out = static_cast<float>(wide);
    return std::isinf(out) ? simdjson::NUMBER_OUT_OF_RANGE : SUCCESS;
  } else if constexpr (std::is_signed_v<T>) {
    int64_t wide = 0;
    if (const error_code error = value.get_int64().get(wide); error != SUCCESS) return error;
    out = static_cast<T>(wide);
    return out == wide ? SUCCESS : simdjson::NUMBER_OUT_OF_RANGE;
  } else {
    uint64_t wide = 0;
    if (const error_code error = value.get_uint64().get(wide); error != SUCCESS) return error;
    out = static_cast<T>(wide);
    return out == wide ? SUCCESS : simdjson::NUMBER_OUT_OF_RANGE;
  }
}

// Where the elements of a tensor of fixed-size elements go.
template <class T>
class FixedSink {
 public:
  FixedSink(std::string& raw, size_t count) : raw_(raw), count_(count) {
    raw_.resize(count * sizeof(T));
  }
  error_code Add(simdjson::simdjson_result<sj::value> value) {
    if (added_ == count_) return simdjson::INDEX_OUT_OF_BOUNDS;
    T element{};
    if (const error_code error = ReadElement<T>(value, element); error != SUCCESS) return error;
    std::memcpy(raw_.data() + added_ * sizeof(T), &element, sizeof(T));
    ++added_;
    return SUCCESS;
  }
  size_t added() const { return added_; }

 private:
  std::string& raw_;
  const size_t count_;
  size_t added_ = 0;
};

// The same for BYTES: each element is its length and its bytes.
class BytesSink {
 public:
  BytesSink(std::string& raw, size_t count) : raw_(raw), count_(count) {}
  error_code Add(simdjson::simdjson_result<sj::value> value) {
    if (added_ == count_) return simdjson::INDEX_OUT_OF_BOUNDS;
    std::string_view text;
    if (const error_code error = value.get_string().get(text); error != SUCCESS) return error;
    const uint32_t size = static_cast<uint32_t>(text.size());
    raw_.append(reinterpret_cast<const char*>(&size), sizeof(size));
    raw_.append(text);
    ++added_;
    return SUCCESS;
  }
  size_t added() const { return added_; }

 private:
  std::string& raw_;
  const size_t count_;
  size_t added_ = 0;
};

// Reads `data`, flat or nested.
template <class Sink>
class DataReader {
 public:
  DataReader(const Place& place, std::string_view datatype, const Shape& shape, Sink sink)
      : place_(place), datatype_(datatype), shape_(shape), sink_(std::move(sink)) {}

  absl::Status Read(simdjson::simdjson_result<sj::value> data, int64_t count) {
    sj::array array;
    if (const error_code error = data.get_array().get(array); error != SUCCESS) {
      return Fail(error, "must be a list");
    }
    RETURN_IF_ERROR(ReadLevel(array, 0));
    if (static_cast<int64_t>(sink_.added()) != count) {
      return Wrong(place_, fmt::format("has {} elements, the shape {} says {}", sink_.added(),
                                       shape_.ToString(), count));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ReadLevel(sj::array array, size_t level) {
    int64_t length = 0;
    bool nested = false;
    for (auto element : array) {
      if (length == 0 && level + 1 < shape_.rank()) {
        sj::json_type type{};
        if (const error_code error = element.type().get(type); error != SUCCESS) {
          return Fail(error, "");
        }
        nested = type == sj::json_type::array;
        if (level > 0 && !nested) {
          return Wrong(place_,
                       fmt::format("is nested less deeply than the shape {}", shape_.ToString()));
        }
      }
      if (nested) {
        if (length == shape_[level]) return TooMany(level);
        sj::array inner;
        if (const error_code error = element.get_array().get(inner); error != SUCCESS) {
          return Fail(error, "mixes lists and elements");
        }
        RETURN_IF_ERROR(ReadLevel(inner, level + 1));
      } else if (const error_code error = sink_.Add(element); error != SUCCESS) {
        return FailElement(error);
      }
      ++length;
    }
    // A flat list is as long as the whole tensor, which Read checks.
    if ((nested || level > 0) && length != shape_[level]) {
      return Wrong(place_, fmt::format("has a list of {} where the shape {} says {}", length,
                                       shape_.ToString(), shape_[level]));
    }
    return absl::OkStatus();
  }

  absl::Status TooMany(size_t level) const {
    return Wrong(place_, fmt::format("has a list of more than {} where the shape {} says {}",
                                     shape_[level], shape_.ToString(), shape_[level]));
  }

  absl::Status FailElement(error_code error) const {
    switch (error) {
      case simdjson::INDEX_OUT_OF_BOUNDS:
        return Wrong(place_,
                     fmt::format("has more elements than the shape {} says", shape_.ToString()));
      case simdjson::NUMBER_OUT_OF_RANGE:
      case simdjson::INCORRECT_TYPE:
      case simdjson::NUMBER_ERROR:
        return Wrong(place_, fmt::format("has at place {} no {}", sink_.added(), datatype_));
      default:
        return Fail(error, "");
    }
  }

  // What is wrong with the document itself is told with the byte where it breaks, by the caller.
  absl::Status Fail(error_code error, std::string_view problem) const {
    if (error == simdjson::INCORRECT_TYPE && !problem.empty()) return Wrong(place_, problem);
    return absl::DataLossError(simdjson::error_message(error));
  }

  const Place& place_;
  const std::string_view datatype_;
  const Shape& shape_;
  Sink sink_;
};

template <class Sink>
absl::Status ReadDataInto(simdjson::simdjson_result<sj::value> data, const Place& place,
                          std::string_view datatype, const Shape& shape, int64_t count,
                          std::string& raw) {
  return DataReader<Sink>(place, datatype, shape, Sink(raw, static_cast<size_t>(count)))
      .Read(data, count);
}

}  // namespace

std::string Place::ToString() const {
  std::string text = parent == nullptr ? "" : parent->ToString();
  if (index) return fmt::format("{}[{}]", text, *index);
  if (!text.empty()) text += '.';
  text += key.size() <= 80 ? std::string(key) : std::string(key.substr(0, 80)) + "...";
  return text;
}

absl::Status Wrong(const Place& place, std::string_view problem) {
  return InvalidField(place.ToString(), problem);
}

absl::Status ReadTensor(simdjson::simdjson_result<sj::value> data, const Place& place,
                        DataType type, const Shape& shape, int64_t count, std::string& raw) {
  const auto read = [&]<class Sink>() {
    return ReadDataInto<Sink>(data, place, DataTypeName(type), shape, count, raw);
  };
  switch (type) {
    case DataType::kBool:
      return read.template operator()<FixedSink<bool>>();
    case DataType::kUint8:
      return read.template operator()<FixedSink<uint8_t>>();
    case DataType::kUint16:
      return read.template operator()<FixedSink<uint16_t>>();
    case DataType::kUint32:
      return read.template operator()<FixedSink<uint32_t>>();
    case DataType::kUint64:
      return read.template operator()<FixedSink<uint64_t>>();
    case DataType::kInt8:
      return read.template operator()<FixedSink<int8_t>>();
    case DataType::kInt16:
      return read.template operator()<FixedSink<int16_t>>();
    case DataType::kInt32:
      return read.template operator()<FixedSink<int32_t>>();
    case DataType::kInt64:
      return read.template operator()<FixedSink<int64_t>>();
    case DataType::kFp32:
      return read.template operator()<FixedSink<float>>();
    case DataType::kFp64:
      return read.template operator()<FixedSink<double>>();
    case DataType::kBytes:
      return read.template operator()<BytesSink>();
    case DataType::kFp16:
    case DataType::kBf16:
      break;
  }
  return absl::InternalError("a datatype without a JSON form was read");
}

}  // namespace slipway::gateway
