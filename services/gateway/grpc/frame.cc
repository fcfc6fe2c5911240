#include "services/gateway/grpc/frame.h"

#include <memory>
#include <string_view>
#include <utility>

#include "services/gateway/error_body.h"

namespace slipway::gateway {

absl::Cord ToCord(http::grpc::Message message) {
  const auto held = std::make_shared<const http::grpc::Message>(std::move(message));
  const std::string_view bytes = held->view();
  return absl::MakeCordFromExternal({bytes.data(), bytes.size()}, [held] {});
}

absl::Status ForCaller(const absl::Status& status) {
  return ToHttpCode(status) == 500 ? absl::Status(status.code(), CallersMessage(status)) : status;
}

}  // namespace slipway::gateway
