#include "services/inference/infer_messages.h"

#include "common/http/grpc/messages.h"

namespace slipway::worker {
namespace {

using http::grpc::AppendFieldPrefix;
using http::grpc::FieldPrefixSize;

size_t SizeOf(const InferAnswer& answer) {
  size_t size = answer.response.ByteSizeLong();
  for (const Buffer& content : answer.contents) {
    size += FieldPrefixSize(content.size()) + content.size();
  }
  return size;
}

void Append(const InferAnswer& answer, std::string& frame) {
  answer.response.AppendToString(&frame);
  for (const Buffer& content : answer.contents) {
    AppendFieldPrefix(inference::ModelInferResponse::kRawOutputContentsFieldNumber, content.size(),
                      frame);
    frame.append(content.view());
  }
}

}  // namespace

std::string InferFrame(const InferAnswer& answer) {
  std::string frame = http::grpc::BeginFrame(SizeOf(answer));
  Append(answer, frame);
  http::grpc::EndFrame(frame);
  return frame;
}

std::string StreamInferFrame(const InferAnswer& answer) {
  const size_t size = SizeOf(answer);
  std::string frame = http::grpc::BeginFrame(FieldPrefixSize(size) + size);
  AppendFieldPrefix(inference::ModelStreamInferResponse::kInferResponseFieldNumber, size, frame);
  Append(answer, frame);
  http::grpc::EndFrame(frame);
  return frame;
}

}  // namespace slipway::worker
