#ifndef SLIPWAY_SERVICES_REGISTRY_PAGE_H_
#define SLIPWAY_SERVICES_REGISTRY_PAGE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "common/status/status.h"

// Pages of a list (https://google.aip.dev/158). A token is opaque to callers; it says which list it
// belongs to and the key of the last object that was answered, so a list stays right while objects
// come and go.
namespace slipway::registry {

inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;

/// As it came.
struct PageRequest {
  int32_t size = 0;
  std::string token;
};

/// As it was understood.
struct Page {
  int size = kDefaultPageSize;
  /// Key of the last object of the page before; empty: from the start.
  std::string after;
};

/// `list` names the list: "tenants/acme/models". A size of 0 is the default, one above the maximum
/// is the maximum. Errors: InvalidField("page_size" or "page_token").
absl::StatusOr<Page> ParsePage(std::string_view list, const PageRequest& request);

/// The token of the page that follows the object with this key.
std::string MakePageToken(std::string_view list, std::string_view key);

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_PAGE_H_
