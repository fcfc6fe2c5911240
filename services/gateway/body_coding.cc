#include "services/gateway/body_coding.h"

#include <utility>

#include "fmt/format.h"
#include "services/gateway/error_body.h"

namespace slipway::gateway {

std::optional<http::Coding> BodyCoding(const http::Headers& headers) {
  std::optional<std::string_view> name;
  for (const http::Headers::Field field : headers) {
    if (!http::EqualsIgnoringCase(field.name, "content-encoding")) continue;
    if (name) return std::nullopt;
    name = field.value;
  }
  return name ? http::ParseCoding(*name) : http::Coding::kIdentity;
}

http::Response CodingNotTaken(const http::RequestHead& head, std::string_view accepted) {
  http::Response response = ErrorFor(
      head.path(), InvalidField("content-encoding", fmt::format("must be one of {}", accepted)),
      head.request_id);
  response.status = 415;
  response.headers.Add("accept-encoding", accepted);
  return response;
}

absl::StatusOr<std::string> DecodeBody(const http::Headers& headers, std::string body,
                                       uint64_t max_bytes) {
  const auto coding = BodyCoding(headers);
  if (!coding) return InvalidField("content-encoding", "must be gzip or deflate");
  if (*coding == http::Coding::kIdentity) return body;
  return http::Decode(*coding, body, {.max_bytes = max_bytes});
}

}  // namespace slipway::gateway
