#include "services/gateway/identity/request_key.h"

#include <algorithm>
#include <optional>

namespace slipway::gateway {

absl::StatusOr<std::string_view> RequestKey(const http::Headers& headers) {
  std::optional<std::string_view> key;
  for (const http::Headers::Field field : headers) {
    std::string_view found = field.value;
    if (http::EqualsIgnoringCase(field.name, "authorization")) {
      constexpr std::string_view kScheme = "bearer";
      if (!http::EqualsIgnoringCase(found.substr(0, kScheme.size()), kScheme) ||
          found.size() <= kScheme.size() || found[kScheme.size()] != ' ') {
        return absl::UnauthenticatedError("authorization must be \"Bearer <API key>\"");
      }
      found.remove_prefix(kScheme.size());
      found.remove_prefix(std::min(found.find_first_not_of(' '), found.size()));
    } else if (!http::EqualsIgnoringCase(field.name, "x-api-key")) {
      continue;
    }
    if (key && *key != found) {
      return absl::UnauthenticatedError("the request carries two API keys that differ");
    }
    key = found;
  }
  if (!key) {
    return absl::UnauthenticatedError(
        "an API key is required, as \"Authorization: Bearer <key>\" or \"x-api-key: <key>\"");
  }
  return *key;
}

}  // namespace slipway::gateway
