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

// Is an entry of the request's parameters this one, and true?
bool WantsFinal(const std::string& entry) {
  if (entry.find(kWantsFinal) == std::string::npos) return false;
  std::string field;
  {
    google::protobuf::io::StringOutputStream stream(&field);
    google::protobuf::io::CodedOutputStream out(&stream);
    out.WriteTag(kParametersTag);
    out.WriteVarint32(static_cast<uint32_t>(entry.size()));
    out.WriteString(entry);
  }
  Request parsed;
  if (!parsed.ParseFromString(field)) return false;
  const auto parameter = parsed.parameters().find(kWantsFinal);
  return parameter != parsed.parameters().end() && parameter->second.bool_param();
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
  while (const uint32_t tag = in.ReadTag()) {
    if (tag == kParametersTag) {
      std::string entry;
      if (!WireFormatLite::ReadString(&in, &entry)) return no_message();
      if (WantsFinal(entry)) head.wants_final = true;
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
  return head;
}

}  // namespace slipway::gateway
