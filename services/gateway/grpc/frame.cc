#include "services/gateway/grpc/frame.h"

#include <limits>
#include <memory>
#include <utility>

#include "services/gateway/error_body.h"

namespace slipway::gateway {

absl::Status ParseMessage(const http::grpc::Message& bytes,
                          google::protobuf::MessageLite& message) {
  const std::string_view view = bytes.view();
  if (view.size() > std::numeric_limits<int>::max() ||
      !message.ParseFromArray(view.data(), static_cast<int>(view.size()))) {
    return absl::InvalidArgumentError("the request is no " + message.GetTypeName());
  }
  return absl::OkStatus();
}

absl::Cord ToCord(http::grpc::Message message) {
  const auto held = std::make_shared<const http::grpc::Message>(std::move(message));
  const std::string_view bytes = held->view();
  return absl::MakeCordFromExternal({bytes.data(), bytes.size()}, [held] {});
}

std::string FrameOf(const google::protobuf::MessageLite& message) {
  std::string frame = http::grpc::BeginFrame(message.ByteSizeLong());
  message.AppendToString(&frame);
  http::grpc::EndFrame(frame);
  return frame;
}

absl::Status ForCaller(const absl::Status& status) {
  return ToHttpCode(status) == 500 ? absl::Status(status.code(), CallersMessage(status)) : status;
}

}  // namespace slipway::gateway
