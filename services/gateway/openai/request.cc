#include "services/gateway/openai/request.h"

#include "common/fields/json.h"
#include "services/gateway/body_coding.h"
#include "services/gateway/error_body.h"

namespace slipway::gateway::openai {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxBody = 64 << 10;
constexpr DocumentLimits kBodyLimits = {.bytes = kMaxBody, .depth = 8, .values = 10'000};

}  // namespace

void Request::Answer(const json& body) const {
  http::Response response;
  response.headers.Add("content-type", "application/json");
  response.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
  exchange->Respond(std::move(response));
}

void Request::Refuse(const absl::Status& status) const { exchange->Respond(OpenAiError(status)); }

void ReadBody(const RequestPtr& request, std::function<void(const json&)> done) {
  request->exchange->ReadBody(
      kMaxBody, [request, done = std::move(done)](absl::StatusOr<std::string> body) {
        if (!body.ok()) return;  // the listener has answered
        body = DecodeBody(request->exchange->head().headers, *std::move(body), kMaxBody);
        if (!body.ok()) return request->Refuse(body.status());
        absl::StatusOr<json> read = ParseJson(body->empty() ? "{}" : *body, "", kBodyLimits);
        if (read.ok() && !read->is_object()) {
          read = absl::InvalidArgumentError("the body must be a JSON object");
        }
        if (!read.ok()) return request->Refuse(read.status());
        done(*read);
      });
}

}  // namespace slipway::gateway::openai
