#include "services/gateway/grpc/answer_frame.h"

#include "common/http/grpc/messages.h"

namespace slipway::gateway {
namespace {

using http::grpc::AppendFieldPrefix;
using http::grpc::FieldPrefixSize;

size_t SizeOf(const InferAnswer& answer) {
  size_t size = answer.head.ByteSizeLong();
  for (const absl::Cord& content : answer.contents) {
    size += FieldPrefixSize(content.size()) + content.size();
  }
  return size;
}

void Append(const InferAnswer& answer, std::string& out) {
  answer.head.AppendToString(&out);
  for (const absl::Cord& content : answer.contents) {
    AppendFieldPrefix(inference::ModelInferResponse::kRawOutputContentsFieldNumber, content.size(),
                      out);
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
  std::string frame = http::grpc::BeginFrame(FieldPrefixSize(size) + size);
  AppendFieldPrefix(inference::ModelStreamInferResponse::kInferResponseFieldNumber, size, frame);
  Append(answer, frame);
  http::grpc::EndFrame(frame);
  return frame;
}

}  // namespace slipway::gateway
