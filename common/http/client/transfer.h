#ifndef SLIPWAY_COMMON_HTTP_CLIENT_TRANSFER_H_
#define SLIPWAY_COMMON_HTTP_CLIENT_TRANSFER_H_

#include <cpprest/http_msg.h>

#include <cstdint>
#include <exception>
#include <istream>
#include <optional>
#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "common/http/client/client.h"
#include "common/sync/mutex.h"

namespace slipway::http {

/// One call under way: what cpprest's threads and the caller's have in common. cpprest may hold it
/// longer than the call lasts; after Close() the caller's stream, sink and progress function are
/// not touched any more.
class Transfer {
 public:
  explicit Transfer(const Client::Sink& sink) : sink_(&sink) {}

  /// The request's body: `length` bytes of `source`, or all of it.
  void SetSource(std::istream& source, std::optional<uint64_t> length,
                 const Client::Progress& progress);

  // On cpprest's threads.
  size_t ReadSource(char* into, size_t most);
  absl::Status TakePiece(std::string_view piece);
  void Begin(web::http::http_response head);
  void Fail(std::exception_ptr error);

  /// Waits for Begin or Fail, the latter's exception being thrown; nullopt when the time is up.
  std::optional<web::http::http_response> WaitForHead(absl::Duration timeout);

  /// The error that ended it from this side (of the sink, or of the source), or OK.
  absl::Status error() const;

  /// What was not a 2xx answer's body, so that the sink did not get it.
  std::string TakeFailure();

  /// Bytes of the request's body that were sent.
  uint64_t sent() const;

  void Close();

 private:
  absl::Status Deliver(std::string_view piece) REQUIRES(mutex_);

  mutable Mutex mutex_;
  CondVar begun_;
  bool closed_ GUARDED_BY(mutex_) = false;
  std::optional<web::http::http_response> head_ GUARDED_BY(mutex_);
  std::exception_ptr failure_ GUARDED_BY(mutex_);
  absl::Status error_ GUARDED_BY(mutex_);

  const Client::Sink* sink_ GUARDED_BY(mutex_);
  std::string early_ GUARDED_BY(mutex_);  // came before the head was announced
  std::string failure_body_ GUARDED_BY(mutex_);

  std::istream* source_ GUARDED_BY(mutex_) = nullptr;
  std::optional<uint64_t> source_left_ GUARDED_BY(mutex_);
  const Client::Progress* progress_ GUARDED_BY(mutex_) = nullptr;
  uint64_t read_ GUARDED_BY(mutex_) = 0;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_CLIENT_TRANSFER_H_
