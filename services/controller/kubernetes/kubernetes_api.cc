#include "services/controller/kubernetes/kubernetes_api.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "common/files/files.h"
#include "common/http/uri.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::controller {
namespace {

using nlohmann::json;

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr uint64_t kMaxToken = 64 << 10;
constexpr uint64_t kMaxAnswer = 64 << 20;

// What the server answered that was not 2xx; its body is a Status.
absl::Status ErrorOf(int code, const json& body) {
  const std::string text = body.is_object() ? body.value("message", "") : "";
  const std::string message =
      fmt::format("the Kubernetes API answered {}{}{}", code, text.empty() ? "" : ": ", text);
  switch (code) {
    case 401:
    case 403:
      return absl::PermissionDeniedError(message);
    case 404:
      return absl::NotFoundError(message);
    case 409:
      return body.is_object() && body.value("reason", "") == "AlreadyExists"
                 ? absl::AlreadyExistsError(message)
                 : absl::AbortedError(message);
    case 400:
    case 422:
      return absl::InvalidArgumentError(message);
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace

std::string KubernetesApi::PathOf(const std::string& kind) const {
  return fmt::format("/api/v1/namespaces/{}/{}", config_.namespace_name, kind);
}

absl::StatusOr<json> KubernetesApi::Call(const std::string& method, const std::string& target,
                                         const json& body) {
  // It changes while this runs.
  ASSIGN_OR_RETURN(std::string token, ReadFile(config_.token_file, kMaxToken));
  absl::StripAsciiWhitespace(&token);
  std::shared_ptr<const http::Client> client;
  {
    MutexLock lock(mutex_);
    if (client_ == nullptr) {
      ASSIGN_OR_RETURN(http::Client made,
                       http::Client::Create(config_.api_server,
                                            {.timeout = kPatience, .ca_file = config_.ca_file}));
      client_ = std::make_shared<const http::Client>(std::move(made));
    }
    client = client_;
  }
  http::Request request{
      .method = method,
      .target = target,
      .headers = {{"accept", "application/json"}, {"authorization", "Bearer " + token}},
      .body = {}};
  if (!body.is_null()) {
    request.headers.Add("content-type", "application/json");
    request.body = body.dump();
  }
  const absl::StatusOr<http::Response> answer = client->Send(request, kMaxAnswer);
  if (!answer.ok()) {
    MutexLock lock(mutex_);
    client_ = nullptr;
    return absl::UnavailableError(answer.status().message());
  }
  json said = json::parse(answer->body, nullptr, /*allow_exceptions=*/false);
  if (answer->status / 100 != 2) return ErrorOf(answer->status, said);
  if (!said.is_object()) return absl::UnavailableError("the Kubernetes API answered no JSON");
  return said;
}

absl::StatusOr<json> KubernetesApi::Get(const std::string& kind, const std::string& name) {
  return Call("GET", fmt::format("{}/{}", PathOf(kind), name), nullptr);
}

absl::StatusOr<std::vector<json>> KubernetesApi::List(const std::string& kind,
                                                      const std::string& labels) {
  std::vector<json> found;
  std::string next;
  do {
    ASSIGN_OR_RETURN(json page,
                     Call("GET",
                          fmt::format("{}?limit=500&labelSelector={}&continue={}", PathOf(kind),
                                      http::PercentEncode(labels), http::PercentEncode(next)),
                          nullptr));
    const json items = page.value("items", json::array());
    found.insert(found.end(), items.begin(), items.end());
    next = page.value("metadata", json::object()).value("continue", "");
  } while (!next.empty());
  return found;
}

absl::Status KubernetesApi::Create(const std::string& kind, const json& object) {
  return Call("POST", PathOf(kind), object).status();
}

absl::Status KubernetesApi::Delete(const std::string& kind, const std::string& name,
                                   const std::string& uid, std::optional<absl::Duration> grace) {
  json options = {
      {"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"preconditions", {{"uid", uid}}}};
  if (grace) options["gracePeriodSeconds"] = absl::ToInt64Seconds(*grace);
  return Call("DELETE", fmt::format("{}/{}", PathOf(kind), name), options).status();
}

}  // namespace slipway::controller
