#include "common/http/status_headers.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/strings/cord.h"

namespace slipway::http {
namespace {

// Name and value of each field, a line each.
constexpr char kHeaders[] = "slipway/headers";

}  // namespace

void SetHeaders(absl::Status& status, const Headers& headers) {
  std::string lines;
  for (const Headers::Field field : headers) {
    lines.append(field.name).append("\n").append(field.value).append("\n");
  }
  status.SetPayload(kHeaders, absl::Cord(lines));
}

Headers HeadersOf(const absl::Status& status) {
  Headers headers;
  const auto payload = status.GetPayload(kHeaders);
  if (!payload) return headers;
  const std::string lines(*payload);
  std::string_view rest = lines;
  const auto line = [&] {
    const std::string_view text = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(text.size() + 1, rest.size()));
    return text;
  };
  while (!rest.empty()) {
    const std::string_view name = line();
    headers.Add(name, line());
  }
  return headers;
}

}  // namespace slipway::http
