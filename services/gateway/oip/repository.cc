#include "services/gateway/oip/repository.h"

#include <string>
#include <utility>

#include "services/gateway/api/method_table.h"
#include "services/gateway/relay/api_handler.h"
#include "services/gateway/relay/api_transport.h"

namespace slipway::gateway {
namespace {

// A call of the public API about a deployment whose answer says only whether it went well.
class RepositoryTransport final : public ApiTransport {
 public:
  RepositoryTransport(http::Exchange& exchange, const PublicMethod& method, std::string name,
                      Repository::Reply reply)
      : exchange_(exchange), method_(method), name_(std::move(name)), reply_(std::move(reply)) {}

  http::Exchange& exchange() override { return exchange_; }
  const HttpBinding& binding() const override { return method_.bindings.front(); }
  void Receive(DoneCallback done) override { done(absl::OkStatus()); }
  absl::StatusOr<std::unique_ptr<Message>> ReadRequest() override {
    std::unique_ptr<Message> request(method_.request->New());
    const auto* name = request->GetDescriptor()->FindFieldByName("name");
    request->GetReflection()->SetString(request.get(), name, name_);
    return request;
  }
  void Succeed(const Message&) override { reply_(absl::OkStatus()); }
  int Fail(const absl::Status& status) override { return reply_(status); }

  // Nothing of it is a stream.
  void ReceiveNext(Message&, NextCallback done) override { done(false); }
  void Write(const Message&, DoneCallback done) override { done(absl::OkStatus()); }
  void Beat() override {}
  int Finish(const absl::Status& status) override { return reply_(status); }

 private:
  http::Exchange& exchange_;
  const PublicMethod& method_;
  const std::string name_;
  const Repository::Reply reply_;
};

}  // namespace

Repository::Repository(ApiHandler& api, const MethodTable& methods)
    : api_(api),
      load_(*methods.FindByName("slipway.gateway.v1.DeploymentService/LoadDeployment")),
      unload_(*methods.FindByName("slipway.gateway.v1.DeploymentService/UnloadDeployment")) {}

void Repository::Load(http::Exchange& exchange, std::shared_ptr<const KnownKey> key,
                      const DeploymentName& deployment, Reply reply) const {
  api_.Start(load_, std::move(key),
             std::make_unique<RepositoryTransport>(exchange, load_, deployment.ToString(),
                                                   std::move(reply)));
}

void Repository::Unload(http::Exchange& exchange, std::shared_ptr<const KnownKey> key,
                        const DeploymentName& deployment, Reply reply) const {
  api_.Start(unload_, std::move(key),
             std::make_unique<RepositoryTransport>(exchange, unload_, deployment.ToString(),
                                                   std::move(reply)));
}

}  // namespace slipway::gateway
