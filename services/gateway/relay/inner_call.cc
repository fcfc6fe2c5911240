#include "services/gateway/relay/inner_call.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "fmt/format.h"
#include "services/gateway/relay/api_handler.h"

namespace slipway::gateway {

InnerTransport::InnerTransport(http::Exchange& exchange, const PublicMethod& method,
                               std::unique_ptr<Message> request, Reply reply)
    : exchange_(exchange),
      method_(method),
      request_(std::move(request)),
      reply_(std::move(reply)) {}

int InnerTransport::Fail(const absl::Status& status) {
  reply_(status);
  return ToHttpCode(status);
}

const PublicMethod& InnerCalls::Find(std::string_view method) const {
  const PublicMethod* found = methods_.FindByName(fmt::format("slipway.gateway.v1.{}", method));
  if (found == nullptr) {
    std::fprintf(stderr, "there is no public method %s\n", std::string(method).c_str());
    std::abort();
  }
  return *found;
}

void InnerCalls::Start(const PublicMethod& method, Key key,
                       std::unique_ptr<ApiTransport> transport) {
  api_.Start(method, std::move(key), std::move(transport));
}

void InnerCalls::Start(const PublicMethod& method, http::Exchange& exchange, Key key,
                       std::unique_ptr<google::protobuf::Message> request,
                       InnerTransport::Reply reply) {
  Start(method, std::move(key),
        std::make_unique<InnerTransport>(exchange, method, std::move(request), std::move(reply)));
}

}  // namespace slipway::gateway
