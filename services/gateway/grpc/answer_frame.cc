#include "services/gateway/grpc/answer_frame.h"

#include <cstdint>

#include "common/http/grpc/frames.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/wire_format_lite.h"

namespace slipway::gateway {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedOutputStream;

// The most that a tag and a length take.
constexpr size_t kMaxPrefix = 10;

void AppendPrefix(int field, size_t size, std::string& out) {
  uint8_t bytes[kMaxPrefix];
  uint8_t* end = CodedOutputStream::WriteTagToArray(
      WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED), bytes);
  end = CodedOutputStream::WriteVarint32ToArray(static_cast<uint32_t>(size), end);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(end - bytes));
}

size_t PrefixSize(size_t size) {
  return 1 + CodedOutputStream::VarintSize32(static_cast<uint32_t>(size));
}

size_t SizeOf(const InferAnswer& answer) {
  size_t size = answer.head.ByteSizeLong();
  for (const absl::Cord& content : answer.contents) {
    size += PrefixSize(content.size()) + content.size();
  }
  return size;
}

void Append(const InferAnswer& answer, std::string& out) {
  answer.head.AppendToString(&out);
  for (const absl::Cord& content : answer.contents) {
    AppendPrefix(inference::ModelInferResponse::kRawOutputContentsFieldNumber, content.size(), out);
    for (const absl::string_view chunk : content.Chunks()) out.append(chunk.data(), chunk.size());
  }
}

void Rename(InferAnswer& answer, std::string_view model, std::string_view version) {
  answer.head.set_model_name(std::string(model));
  answer.head.set_model_version(std::string(version));
}

}  // namespace

std::string InferFrame(InferAnswer answer, std::string_view model, std::string_view version) {
  Rename(answer, model, version);
  std::string frame = http::grpc::BeginFrame(SizeOf(answer));
  Append(answer, frame);
  http::grpc::EndFrame(frame);
  return frame;
}

std::string StreamInferFrame(InferAnswer answer, std::string_view model, std::string_view version) {
  Rename(answer, model, version);
  const size_t size = SizeOf(answer);
  std::string frame = http::grpc::BeginFrame(kMaxPrefix + size);
  AppendPrefix(inference::ModelStreamInferResponse::kInferResponseFieldNumber, size, frame);
  Append(answer, frame);
  http::grpc::EndFrame(frame);
  return frame;
}

}  // namespace slipway::gateway
