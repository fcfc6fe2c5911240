#ifndef SLIPWAY_SERVICES_GATEWAY_RELAY_API_TRANSPORT_H_
#define SLIPWAY_SERVICES_GATEWAY_RELAY_API_TRANSPORT_H_

#include <memory>

#include "absl/functional/any_invocable.h"
#include "common/http/server/server.h"
#include "common/status/status.h"
#include "google/protobuf/message.h"
#include "services/gateway/api/method_table.h"

namespace slipway::gateway {

/// How one call of the public API reaches its caller: as JSON over REST, or as messages of gRPC.
/// All that both have in common (roles, tenants, audit, relay) knows only this. Callbacks run on an
/// I/O thread and must not block; each method is called from one thread at a time.
class ApiTransport {
 public:
  using Message = google::protobuf::Message;
  using DoneCallback = http::Exchange::DoneCallback;

  virtual ~ApiTransport() = default;

  virtual http::Exchange& exchange() = 0;
  /// Whose variables name what the call is about.
  virtual const HttpBinding& binding() const = 0;

  /// Takes in what comes before the work: the request, or the beginning of a stream of them. An
  /// error: the caller has been answered already.
  virtual void Receive(DoneCallback done) = 0;
  /// What came, read. May take long.
  virtual absl::StatusOr<std::unique_ptr<Message>> ReadRequest() = 0;

  /// A stream of requests: its next one goes into `request`, which holds the last; what they are
  /// about is said by the first alone. `done` gets false at the stream's end. An error: the caller
  /// has been answered already.
  using NextCallback = absl::AnyInvocable<void(absl::StatusOr<bool>)>;
  virtual void ReceiveNext(Message& request, NextCallback done) = 0;

  /// What the answer's head says beside its message, before the answer begins.
  virtual void AddHeaders(const http::Headers&) {}

  /// Ends the call: with one message; with a failure. Returns the status as HTTP has it.
  virtual void Succeed(const Message& answer) = 0;
  virtual int Fail(const absl::Status& status) = 0;

  /// The next message of a stream of answers; `done` when the kernel has taken it.
  virtual void Write(const Message& answer, DoneCallback done) = 0;
  /// Nothing has been written for a while.
  virtual void Beat() = 0;
  /// Ends a stream of answers that has begun, or may have. Returns the status as HTTP has it.
  virtual int Finish(const absl::Status& status) = 0;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_RELAY_API_TRANSPORT_H_
