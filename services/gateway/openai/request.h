#ifndef SLIPWAY_SERVICES_GATEWAY_OPENAI_REQUEST_H_
#define SLIPWAY_SERVICES_GATEWAY_OPENAI_REQUEST_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "common/http/server/server.h"
#include "common/status/status.h"
#include "common/sync/in_flight.h"
#include "nlohmann/json.hpp"
#include "services/gateway/identity/key_table.h"

namespace slipway::gateway::openai {

/// One request of /v1 from its head to its answer; whoever works for it holds it.
struct Request {
  std::shared_ptr<http::Exchange> exchange;
  std::shared_ptr<const KnownKey> key;
  InFlight::Guard in_flight;
  /// Whose objects it is about: "tenants/-", or the one that an operator names in the header
  /// OpenAI-Organization.
  std::string tenant = "tenants/-";
  /// The one in its path; and the one below that, of what belongs to something.
  std::string id = {};
  std::string child_id = {};

  void Answer(const nlohmann::json& body) const;
  void Refuse(const absl::Status& status) const;
};
using RequestPtr = std::shared_ptr<const Request>;

/// Reads the body, a JSON object of no great size, and hands it on.
void ReadBody(const RequestPtr& request, std::function<void(const nlohmann::json&)> done);

/// A reply for InnerCalls that answers with what `render` makes of the message.
template <class Message, class Render>
auto AnswerWith(RequestPtr request, Render render) {
  return [request = std::move(request), render](const absl::StatusOr<const Message*>& answer) {
    if (!answer.ok()) return request->Refuse(answer.status());
    request->Answer(render(**answer));
  };
}

}  // namespace slipway::gateway::openai

#endif  // SLIPWAY_SERVICES_GATEWAY_OPENAI_REQUEST_H_
