#include "services/gateway/grpc/model_head.h"

#include <cstdint>
#include <limits>

#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/wire_format_lite.h"
#include "inference/open_inference.pb.h"

namespace slipway::gateway {
namespace {

using google::protobuf::internal::WireFormatLite;
using Request = inference::ModelInferRequest;

constexpr uint32_t TextTag(int field) {
  return WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
}

constexpr uint32_t kParametersTag = TextTag(Request::kParametersFieldNumber);
constexpr char kWantsFinal[] = "triton_enable_empty_final_response";

// Does an entry of the request's parameters say anything that routing needs?
bool IsNeeded(std::string_view entry) {
  return entry.find(kWantsFinal) != std::string_view::npos ||
         entry.find("sequence_") != std::string_view::npos;
}

// Adds an entry of the parameters to a message of nothing else.
void AppendEntry(const std::string& entry, std::string& message) {
  google::protobuf::io::StringOutputStream stream(&message);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.WriteTag(kParametersTag);
  out.WriteVarint32(static_cast<uint32_t>(entry.size()));
  out.WriteString(entry);
}

}  // namespace

absl::StatusOr<ModelHead> ReadModelHead(std::string_view request) {
  const auto no_message = [] {
    return absl::InvalidArgumentError("the request is no inference.ModelInferRequest");
  };
  if (request.size() > std::numeric_limits<int>::max()) return no_message();
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(request.data()),
                                            static_cast<int>(request.size()));
  ModelHead head;
  std::string needed;
  while (const uint32_t tag = in.ReadTag()) {
    if (tag == kParametersTag) {
      std::string entry;
      if (!WireFormatLite::ReadString(&in, &entry)) return no_message();
      if (IsNeeded(entry)) AppendEntry(entry, needed);
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
  return head;
}

}  // namespace slipway::gateway
