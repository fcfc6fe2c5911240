#ifndef SLIPWAY_COMMON_HTTP_MULTIPART_H_
#define SLIPWAY_COMMON_HTTP_MULTIPART_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "common/status/status.h"

namespace slipway::http {

/// Reads a form (multipart/form-data, RFC 7578) whose bytes come in pieces of any size: what a part
/// holds is handed on as it comes, and never more than a boundary's length is kept back. One thread
/// at a time.
class MultipartReader {
 public:
  /// A part begins.
  struct Part {
    std::string name;      ///< Of the form's field.
    std::string filename;  ///< As sent; empty where there is none.
    bool is_file = false;  ///< It was sent with a filename.
  };
  /// The next bytes of the part that began last; never empty.
  struct Data {
    std::string bytes;
  };
  /// All that came is read: Feed() more.
  struct More {};
  /// The form is complete; what may follow does not count.
  struct End {};
  using Event = std::variant<Part, Data, More, End>;

  static constexpr int kMaxParts = 32;
  static constexpr size_t kMaxPartHeaderBytes = 8 << 10;

  /// From a request's Content-Type. kInvalidArgument where it is no form or has no boundary.
  static absl::StatusOr<MultipartReader> Create(std::string_view content_type);

  void Feed(std::string_view bytes);
  /// kInvalidArgument for what is no form, has too many parts or too large a part's head; it stays.
  absl::StatusOr<Event> Next();

 private:
  enum class State { kPreamble, kAfterBoundary, kHeaders, kContent, kEnd };

  explicit MultipartReader(std::string delimiter) : delimiter_(std::move(delimiter)) {}
  absl::StatusOr<Event> ReadHeaders();
  absl::StatusOr<Event> ReadContent();

  std::string delimiter_;  // CRLF "--" boundary
  // Begins as if a line had ended, so that the first boundary needs no other rule.
  std::string buffer_ = "\r\n";
  State state_ = State::kPreamble;
  int parts_ = 0;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_MULTIPART_H_
