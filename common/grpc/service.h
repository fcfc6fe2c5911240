#ifndef SLIPWAY_COMMON_GRPC_SERVICE_H_
#define SLIPWAY_COMMON_GRPC_SERVICE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "common/grpc/edge.h"
#include "common/http/grpc/messages.h"
#include "common/http/grpc/server_call.h"
#include "common/sync/in_flight.h"
#include "common/sync/work_pool.h"

namespace slipway {

/// A call that its service's edge has let in. It is ended once, by Answer() or Finish(), from any
/// thread; the edge hears how. Threads, callbacks and lifetime are those of http::grpc::ServerCall:
/// callbacks refer to this, and keep whatever owns it.
class ServiceCall {
 public:
  ServiceCall(InFlight& in_flight, ServiceEdge& edge, CallContext context,
              std::shared_ptr<http::Exchange> exchange, const http::grpc::Call& head,
              uint64_t max_message_bytes);

  const CallContext& context() const { return context_; }
  /// As the caller sent it.
  const http::Headers& metadata() const { return wire_.exchange().head().headers; }
  ServiceEdge& edge() const { return edge_; }
  /// For the messages of a stream.
  http::grpc::ServerCall& wire() { return wire_; }

  /// True once nobody waits for the answer.
  bool gone() const { return wire_.exchange().over(); }

  /// Reads the only message of a unary call. Where it cannot be had, the call is at its end, and
  /// `done` is dropped.
  void Read(absl::AnyInvocable<void(http::grpc::Message)> done);

  /// Ends a unary call with its message, in a frame that was ended.
  void Answer(std::string frame);
  /// Ends a call without one, or a stream.
  void Finish(const absl::Status& status);

 private:
  const InFlight::Guard in_flight_;
  ServiceEdge& edge_;
  const CallContext context_;
  const uint64_t max_message_bytes_;
  http::grpc::ServerCall wire_;
};

/// A gRPC service of the platform's own on a ServiceListener: its methods, each behind the
/// service's edge. Methods are added before it is served; then any thread.
class Service {
 public:
  explicit Service(std::unique_ptr<ServiceEdge> edge) : edge_(std::move(edge)) {}
  /// Waits for the calls under way; they end soon once their listener is gone.
  ~Service() { in_flight_.WaitForNone(); }

  /// Has `begin` take each call of a method, on an I/O thread: it must not block.
  using Begin = std::function<void(std::unique_ptr<ServiceCall>)>;
  void Add(std::string_view method, Begin begin);

  /// A unary method's handler, of an object that outlives the service.
  template <class Object, class Request, class Response>
  using Handler = absl::Status (Object::*)(const CallContext&, const Request&, Response&);

  /// A handler that neither blocks nor computes for long: it runs on an I/O thread.
  template <class Object, class Request, class Response>
  void AddQuick(std::string_view method, Object& object,
                Handler<Object, Request, Response> handler);

  /// A handler that may block: it runs on the pool, which outlives the service. kUnavailable where
  /// too much waits there already.
  template <class Object, class Request, class Response>
  void AddBlocking(std::string_view method, WorkPool& pool, Object& object,
                   Handler<Object, Request, Response> handler);

  /// "inference.GRPCInferenceService"
  const std::string& name() const { return edge_->service(); }

  /// A call of this service. False where there is no such method.
  bool Handle(std::shared_ptr<http::Exchange> exchange, const http::grpc::Call& head,
              uint64_t max_message_bytes);

 private:
  struct Method {
    int index;
    Begin begin;
  };

  template <class Object, class Request, class Response>
  static void Run(ServiceCall& call, const http::grpc::Message& message, Object& object,
                  Handler<Object, Request, Response> handler);

  const std::unique_ptr<ServiceEdge> edge_;
  std::map<std::string, Method, std::less<>> methods_;
  InFlight in_flight_;
};

// ---- Templates ---------------------------------------------------------------------------------

template <class Object, class Request, class Response>
void Service::Run(ServiceCall& call, const http::grpc::Message& message, Object& object,
                  Handler<Object, Request, Response> handler) {
  Request request;
  Response response;
  const absl::Status status = ServiceEdge::Guarded([&]() -> absl::Status {
    RETURN_IF_ERROR(http::grpc::ParseMessage(message, request));
    return (object.*handler)(call.context(), request, response);
  });
  if (status.ok()) {
    call.Answer(http::grpc::FrameOf(response));
  } else {
    call.Finish(status);
  }
}

template <class Object, class Request, class Response>
void Service::AddQuick(std::string_view method, Object& object,
                       Handler<Object, Request, Response> handler) {
  Add(method, [&object, handler](std::unique_ptr<ServiceCall> call) {
    ServiceCall& begun = *call;
    begun.Read([&object, handler, call = std::move(call)](const http::grpc::Message& message) {
      Run(*call, message, object, handler);
    });
  });
}

template <class Object, class Request, class Response>
void Service::AddBlocking(std::string_view method, WorkPool& pool, Object& object,
                          Handler<Object, Request, Response> handler) {
  Add(method, [&pool, &object, handler](std::unique_ptr<ServiceCall> begun) {
    const std::shared_ptr<ServiceCall> call = std::move(begun);
    call->Read([&pool, &object, handler, call](http::grpc::Message message) {
      const bool taken = pool.Submit([&object, handler, call, message = std::move(message)] {
        Run(*call, message, object, handler);
      });
      if (!taken) call->Finish(absl::UnavailableError("too much waits already; try again"));
    });
  });
}

}  // namespace slipway

#endif  // SLIPWAY_COMMON_GRPC_SERVICE_H_
