#ifndef SLIPWAY_SERVICES_GATEWAY_API_PAGES_H_
#define SLIPWAY_SERVICES_GATEWAY_API_PAGES_H_

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

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
      return NoToken();
    }
    page.after = *after;
    return page;
  }

  /// Of a token that the list cannot have given.
  static absl::Status NoToken() {
    return InvalidField("pageToken", "is none that this list has given");
  }

  /// The token for the page after one that ended at `last`.
  static std::string Token(const std::string& last) { return Base64UrlEncode(last); }

  /// Adds to `response` what of `records` is on this page, by `add`, and where there are more the
  /// token for the next, which begins behind `end_of` the last. The list was asked for one record
  /// more than the page has.
  template <class Record, class Response, class Add, class EndOf>
  void Fill(std::vector<Record> records, Response& response, Add add, EndOf end_of) const {
    const size_t count = std::min(records.size(), static_cast<size_t>(size));
    if (records.size() > count) response.set_next_page_token(Token(end_of(records[count - 1])));
    for (size_t i = 0; i < count; ++i) add(std::move(records[i]));
  }
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_API_PAGES_H_
