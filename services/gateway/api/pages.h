#ifndef SLIPWAY_SERVICES_GATEWAY_API_PAGES_H_
#define SLIPWAY_SERVICES_GATEWAY_API_PAGES_H_

#include <cstdint>
#include <string>

#include "common/crypto/encoding.h"
#include "common/status/status.h"

namespace slipway::gateway {

/// One page of a list (https://google.aip.dev/158).
struct Page {
  static constexpr int kDefaultSize = 100;
  static constexpr int kMaxSize = 1000;

  int size = kDefaultSize;
  std::string after;  ///< Where the page before ended; empty: the first page.

  /// From a request. A size over kMaxSize is kMaxSize. Errors: InvalidField.
  static absl::StatusOr<Page> Read(int32_t page_size, const std::string& page_token) {
    if (page_size < 0) return InvalidField("pageSize", "must not be negative");
    Page page;
    if (page_size > 0) page.size = page_size > kMaxSize ? kMaxSize : page_size;
    const auto after = Base64UrlDecode(page_token);
    if (!after || after->size() > 1024 || after->find('\0') != std::string::npos) {
      return InvalidField("pageToken", "is none that this list has given");
    }
    page.after = *after;
    return page;
  }

  /// The token for the page after one that ended at `last`.
  static std::string Token(const std::string& last) { return Base64UrlEncode(last); }
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_PAGES_H_
