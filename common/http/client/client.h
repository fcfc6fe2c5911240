#ifndef SLIPWAY_COMMON_HTTP_CLIENT_CLIENT_H_
#define SLIPWAY_COMMON_HTTP_CLIENT_CLIENT_H_

#include <cstdint>
#include <functional>
#include <istream>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/http/message.h"
#include "common/status/status.h"

namespace slipway::http {

/// A request that goes out. Its target is joined to the client's base URL.
struct Request {
  std::string method = "GET";
  std::string target = "/";  ///< Path and query, percent-encoded.
  Headers headers = {};
  std::string body = {};
};

struct ClientOptions {
  /// From the start of a call to its answer's head, and then the longest pause in its body.
  absl::Duration timeout = absl::Seconds(30);
  Headers headers = {};      ///< Sent with every request (Authorization, User-Agent...).
  std::string ca_file = {};  ///< PEM; trusted besides the system's. "" for the system's only.
};

/// Calls to one HTTP server over kept-alive connections. Blocking; any number of threads at once.
///
/// An answer of any status is OK here. Errors are those of transport: kUnavailable (refused, no
/// such host, broken off), kDeadlineExceeded, kCancelled, kInvalidArgument (bad URL); each names
/// the URL, without its query.
class Client {
 public:
  /// `base_url`: "http://127.0.0.1:8080" or "https://...", with a path prefix or without.
  static absl::StatusOr<Client> Create(std::string_view base_url, ClientOptions options = {});

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  /// Sends a request, reads the whole answer, at most `max_bytes` (kResourceExhausted).
  absl::StatusOr<Response> Send(const Request& request, uint64_t max_bytes = 64 << 20) const;

  /// Called with the bytes sent so far, on another thread than the caller's.
  using Progress = std::function<void(uint64_t bytes)>;

  /// Sends `body` from its present position as the request's body, in flat memory: `length`
  /// bytes of it, or in chunks to its end where `length` is absent. The time-out holds for
  /// pauses, not for the whole.
  absl::StatusOr<Response> Upload(const Request& request, std::istream& body,
                                  std::optional<uint64_t> length,
                                  const Progress& progress = {}) const;

  /// Reads the answer's body piece by piece into `sink`, in flat memory; an error from the sink
  /// ends the call with it. The body of the returned response is empty, except where the status
  /// is not 2xx: then it holds the answer (at most 1 MB) and the sink saw nothing.
  using Sink = std::function<absl::Status(std::string_view piece)>;
  absl::StatusOr<Response> Download(const Request& request, const Sink& sink) const;

  /// As Download, a call for each line, without its newline. The time-out holds until the first
  /// byte only, as an event stream may be silent for hours. `cancel` ends it with kCancelled.
  absl::StatusOr<Response> ReadLines(const Request& request, const Sink& line,
                                     std::stop_token cancel) const;

 private:
  struct Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_CLIENT_CLIENT_H_
