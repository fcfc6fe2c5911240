#include "common/grpc/status.h"

#include <string>

#include "absl/strings/cord.h"
#include "grpcpp/support/status.h"
#include "slipway/status/v1/status.pb.h"

namespace slipway {
namespace {

namespace v1 = slipway::status::v1;

constexpr size_t kMaxMessageBytes = 2048;
constexpr size_t kMaxPayloadBytes = 2048;

std::string Cut(std::string text) {
  if (text.size() <= kMaxMessageBytes) return text;
  constexpr std::string_view kMark = "...";
  size_t end = kMaxMessageBytes - kMark.size();
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;  // not inside a UTF-8 character
  text.resize(end);
  return text.append(kMark);
}

}  // namespace

std::string StatusDetails(const absl::Status& status) {
  v1::StatusDetails details;
  size_t bytes = 0;
  status.ForEachPayload([&](absl::string_view url, const absl::Cord& payload) {
    if (bytes + url.size() + payload.size() > kMaxPayloadBytes) return;
    bytes += url.size() + payload.size();
    auto* detail = details.add_details();
    detail->set_type_url(std::string(url));
    detail->set_value(std::string(payload));
  });
  if (details.details_size() == 0) return "";
  details.set_code(static_cast<int>(status.code()));
  return details.SerializeAsString();
}

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  // The codes of Abseil are those of gRPC.
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      Cut(std::string(status.message())), StatusDetails(status));
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  v1::StatusDetails details;
  if (!status.error_details().empty() && details.ParseFromString(status.error_details())) {
    for (const auto& detail : details.details()) {
      result.SetPayload(detail.type_url(), absl::Cord(detail.value()));
    }
  }
  return result;
}

}  // namespace slipway
