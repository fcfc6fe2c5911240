#include "services/gateway/grpc/model_head.h"

#include <cstdint>
#include <limits>
#include <utility>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "inference/open_inference.pb.h"

namespace slipway::gateway {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using Request = inference::ModelInferRequest;
using Input = Request::InferInputTensor;

constexpr uint32_t TextTag(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

constexpr uint32_t kParametersTag = TextTag(Request::kParametersFieldNumber);
constexpr uint32_t kNumberTag =
    WireFormatLite::MakeTag(Input::kShapeFieldNumber, WireFormatLite::WIRETYPE_VARINT);
constexpr char kWantsFinal[] = "triton_enable_empty_final_response";

// Does an entry of the request's parameters say anything that routing needs?
bool IsNeeded(std::string_view entry) {
  return entry.find(kWantsFinal) != std::string_view::npos ||
         entry.find("sequence_") != std::string_view::npos ||
         entry.find("priority") != std::string_view::npos;
}

// Adds an entry of the parameters to a message of nothing else.
void AppendEntry(const std::string& entry, std::string& message) {
  google::protobuf::io::StringOutputStream stream(&message);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.WriteTag(kParametersTag);
  out.WriteVarint32(static_cast<uint32_t>(entry.size()));
  out.WriteString(entry);
}

// Of an input: the first number of its shape, packed or not. False where it is none.
bool ReadFirstDimension(CodedInputStream& in, int64_t& dimension) {
  uint32_t size = 0;
  if (!in.ReadVarint32(&size)) return false;
  const CodedInputStream::Limit end = in.PushLimit(static_cast<int>(size));
  bool found = false;
  while (const uint32_t tag = in.ReadTag()) {
    uint64_t number = 0;
    if (!found && tag == TextTag(Input::kShapeFieldNumber)) {
      uint32_t bytes = 0;
      if (!in.ReadVarint32(&bytes)) return false;
      const CodedInputStream::Limit shape_end = in.PushLimit(static_cast<int>(bytes));
      found = bytes > 0;
      if ((found && !in.ReadVarint64(&number)) || !in.Skip(in.BytesUntilLimit())) return false;
      in.PopLimit(shape_end);
    } else if (!found && tag == kNumberTag) {
      found = true;
      if (!in.ReadVarint64(&number)) return false;
    } else if (!WireFormatLite::SkipField(&in, tag)) {
      return false;
    }
    if (number != 0) dimension = static_cast<int64_t>(number);
  }
  const bool whole = in.ConsumedEntireMessage();
  in.PopLimit(end);
  return whole;
}

}  // namespace

absl::StatusOr<ModelHead> ReadModelHead(std::string_view request) {
  const auto no_message = [] {
    return absl::InvalidArgumentError("the request is no inference.ModelInferRequest");
  };
  if (request.size() > std::numeric_limits<int>::max()) return no_message();
  CodedInputStream in(reinterpret_cast<const uint8_t*>(request.data()),
                      static_cast<int>(request.size()));
  ModelHead head;
  std::string needed;
  bool any_input = false;
  while (const uint32_t tag = in.ReadTag()) {
    if (tag == kParametersTag) {
      std::string entry;
      if (!WireFormatLite::ReadString(&in, &entry)) return no_message();
      if (IsNeeded(entry)) AppendEntry(entry, needed);
      continue;
    }
    if (tag == TextTag(Request::kInputsFieldNumber) && !std::exchange(any_input, true)) {
      int64_t dimension = 1;
      if (!ReadFirstDimension(in, dimension)) return no_message();
      head.rows = RowsOf(dimension);
      continue;
    }
    // The last value of a field holds, as everywhere in protobuf.
    std::string* const text = tag == TextTag(Request::kModelNameFieldNumber)      ? &head.model
                              : tag == TextTag(Request::kModelVersionFieldNumber) ? &head.version
                              : tag == TextTag(Request::kIdFieldNumber)           ? &head.id
                                                                                  : nullptr;
    if (text == nullptr ? !WireFormatLite::SkipField(&in, tag)
                        : !WireFormatLite::ReadString(&in, text)) {
      return no_message();
    }
  }
  if (!in.ConsumedEntireMessage()) return no_message();
  if (needed.empty()) return head;
  Request parsed;
  if (!parsed.ParseFromString(needed)) return no_message();
  const auto wants_final = parsed.parameters().find(kWantsFinal);
  head.wants_final = wants_final != parsed.parameters().end() && wants_final->second.bool_param();
  head.sequence = ReadSequenceHead(parsed.parameters());
  head.less_urgent = IsLessUrgent(parsed.parameters());
  return head;
}

}  // namespace slipway::gateway
