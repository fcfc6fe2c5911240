#ifndef SLIPWAY_COMMON_HTTP_GRPC_SERVER_CALL_H_
#define SLIPWAY_COMMON_HTTP_GRPC_SERVER_CALL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "common/http/grpc/frames.h"
#include "common/http/grpc/protocol.h"
#include "common/http/server/server.h"

namespace slipway::http::grpc {

/// A gRPC call on an exchange: messages in, messages out, a status at the end. Threads, callbacks
/// and lifetime are those of the exchange; one read at a time, and one thread at a time answers.
class ServerCall {
 public:
  using MessageCallback = absl::AnyInvocable<void(absl::StatusOr<Message>)>;
  using NextCallback = absl::AnyInvocable<void(absl::StatusOr<std::optional<Message>>)>;
  using DoneCallback = Exchange::DoneCallback;

  /// `call`: of the exchange's head. Ends the exchange when the caller's timeout has passed.
  ServerCall(std::shared_ptr<Exchange> exchange, const Call& call, uint64_t max_message_bytes,
             DetailsOf details = PublicDetails);

  Exchange& exchange() const { return *exchange_; }
  const std::string& request_id() const { return exchange_->head().request_id; }
  /// When the caller no longer waits; `otherwise` where it does not say.
  absl::Time Deadline(absl::Time now, absl::Duration otherwise) const;

  /// From here on the call lives as long as the caller's timeout lets it, with any pauses.
  void AllowStream();

  /// Reads the only message of a call that has one. After an error the caller has its answer.
  void ReadOnly(MessageCallback done);
  /// Reads the next message of a stream; nothing at its end. After an error the caller has its
  /// answer. `done` may run before this returns.
  void ReadNext(NextCallback done);

  /// The same in two steps, for loops: the next message that is here already, and if there is
  /// none, more of the stream (false at its end).
  absl::StatusOr<std::optional<Message>> Take();
  void ReadMore(absl::AnyInvocable<void(absl::StatusOr<bool>)> done);

  /// What the answer's head says beside what the protocol wants. Before the answer; by the one who
  /// gives it.
  void AddHeaders(const Headers& headers);

  /// Ends the call with one message, in a frame that was ended, and OK. Tells when it is out as
  /// Exchange::Respond does.
  bool Answer(std::string frame, DoneCallback later);
  /// The next message of an answer that is a stream.
  void Write(std::string frame, DoneCallback done);
  /// Ends the call: by trailers, or as trailers only where no message was written. `more`: what
  /// they say beside what the protocol wants.
  void Finish(const absl::Status& status, const Headers& more = {});

 private:
  Headers Head() const;

  const std::shared_ptr<Exchange> exchange_;
  const absl::Duration timeout_;
  const Coding coding_;
  const uint64_t max_message_bytes_;
  const DetailsOf details_;
  FrameReader frames_;
  Headers headers_;
  std::atomic<bool> started_ = false;
};

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_GRPC_SERVER_CALL_H_
