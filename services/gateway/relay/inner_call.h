#ifndef SLIPWAY_SERVICES_GATEWAY_RELAY_INNER_CALL_H_
#define SLIPWAY_SERVICES_GATEWAY_RELAY_INNER_CALL_H_

#include <memory>
#include <string_view>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "common/http/server/server.h"
#include "common/status/status.h"
#include "google/protobuf/message.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/relay/api_transport.h"

namespace slipway::gateway {

class ApiHandler;
class MethodTable;

/// A call of the public API that another door makes for its caller: the request is ready, and the
/// answer goes to who made it. Roles, tenants, limits and the audit log are the method's own.
class InnerTransport : public ApiTransport {
 public:
  /// Gets the answer, which lives during the call, or why there is none. Any thread.
  using Reply = absl::AnyInvocable<void(absl::StatusOr<const Message*>)>;

  /// `exchange` is the request that the door makes the call for; `reply` keeps it.
  InnerTransport(http::Exchange& exchange, const PublicMethod& method,
                 std::unique_ptr<Message> request, Reply reply);

  http::Exchange& exchange() override { return exchange_; }
  const HttpBinding& binding() const override { return method_.bindings.front(); }
  void Receive(DoneCallback done) override { done(absl::OkStatus()); }
  absl::StatusOr<std::unique_ptr<Message>> ReadRequest() override { return std::move(request_); }
  void Succeed(const Message& answer) override { reply_(&answer); }
  int Fail(const absl::Status& status) override;

  // Those of streams, for who makes one of it.
  void ReceiveNext(Message&, NextCallback done) override { done(false); }
  void Write(const Message&, DoneCallback done) override { done(absl::OkStatus()); }
  void Beat() override {}
  int Finish(const absl::Status& status) override { return Fail(status); }

 protected:
  http::Exchange& exchange_;

 private:
  const PublicMethod& method_;
  std::unique_ptr<Message> request_;
  Reply reply_;
};

/// The public API from within. Any thread.
class InnerCalls {
 public:
  using Key = std::shared_ptr<const KnownKey>;

  /// Both outlive this.
  InnerCalls(ApiHandler& api, const MethodTable& methods) : api_(api), methods_(methods) {}

  /// `method` as "BatchService/GetBatch"; aborts where there is none. `reply` takes
  /// absl::StatusOr<const Answer*>, once, and keeps the exchange.
  template <class Answer, class Request, class Reply>
  void Call(std::string_view method, http::Exchange& exchange, Key key, Request request,
            Reply reply) {
    Start(Find(method), exchange, std::move(key), std::make_unique<Request>(std::move(request)),
          [reply =
               std::move(reply)](absl::StatusOr<const google::protobuf::Message*> answer) mutable {
            if (!answer.ok()) return reply(absl::StatusOr<const Answer*>(answer.status()));
            reply(absl::StatusOr<const Answer*>(static_cast<const Answer*>(*answer)));
          });
  }

  /// For calls whose transport is more than an InnerTransport.
  const PublicMethod& Find(std::string_view method) const;
  void Start(const PublicMethod& method, Key key, std::unique_ptr<ApiTransport> transport);
  void Start(const PublicMethod& method, http::Exchange& exchange, Key key,
             std::unique_ptr<google::protobuf::Message> request, InnerTransport::Reply reply);

 private:
  ApiHandler& api_;
  const MethodTable& methods_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_RELAY_INNER_CALL_H_
