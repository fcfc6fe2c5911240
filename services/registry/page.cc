#include "services/registry/page.h"

#include <algorithm>
#include <optional>

#include "common/crypto/encoding.h"
#include "fmt/format.h"

namespace slipway::registry {

absl::StatusOr<Page> ParsePage(std::string_view list, const PageRequest& request) {
  if (request.size < 0) {
    return InvalidField("page_size", fmt::format("must be >= 0, got {}", request.size));
  }
  Page page;
  if (request.size > 0) page.size = std::min(request.size, kMaxPageSize);
  if (request.token.empty()) return page;
  const std::optional<std::string> text = Base64UrlDecode(request.token);
  const std::string prefix = fmt::format("{}\n", list);
  if (!text.has_value() || !text->starts_with(prefix) || text->size() == prefix.size()) {
    return InvalidField("page_token", "is no token of this list");
  }
  page.after = text->substr(prefix.size());
  return page;
}

std::string MakePageToken(std::string_view list, std::string_view key) {
  return Base64UrlEncode(fmt::format("{}\n{}", list, key));
}

}  // namespace slipway::registry
