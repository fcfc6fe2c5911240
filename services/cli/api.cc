#include "services/cli/api.h"

#include <algorithm>

#include "common/http/uri.h"
#include "fmt/format.h"

namespace slipway::cli {
namespace {

using nlohmann::json;

constexpr int kPageSize = 200;

absl::StatusCode CodeOf(int http_code) {
  switch (http_code) {
    case 400:
    case 413:
    case 415:
    case 422:
      return absl::StatusCode::kInvalidArgument;
    case 401:
      return absl::StatusCode::kUnauthenticated;
    case 403:
      return absl::StatusCode::kPermissionDenied;
    case 404:
      return absl::StatusCode::kNotFound;
    case 409:
      return absl::StatusCode::kAlreadyExists;
    case 429:
    case 507:
      return absl::StatusCode::kResourceExhausted;
    case 502:
    case 503:
      return absl::StatusCode::kUnavailable;
    case 504:
      return absl::StatusCode::kDeadlineExceeded;
    default:
      return absl::StatusCode::kInternal;
  }
}

absl::StatusOr<json> ParseAnswer(const http::Response& response) {
  RETURN_IF_ERROR(ToStatus(response));
  if (response.body.empty()) return json::object();
  json parsed = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  if (parsed.is_discarded()) {
    return absl::InternalError("the answer is no JSON; is this address a Slipway gateway?");
  }
  return parsed;
}

http::Request MakeRequest(const std::string& method, const std::string& path, const Query& query) {
  return {.method = method, .target = Target(path, query), .headers = {}, .body = ""};
}

}  // namespace

std::string Target(const std::string& path, const Query& query) {
  std::string target = path;
  char separator = '?';
  for (const auto& [name, value] : query) {
    target +=
        fmt::format("{}{}={}", separator, http::PercentEncode(name), http::PercentEncode(value));
    separator = '&';
  }
  return target;
}

absl::Status ToStatus(const http::Response& response) {
  if (response.status >= 200 && response.status < 300) return absl::OkStatus();
  std::string message;
  const json body = json::parse(response.body, nullptr, /*allow_exceptions=*/false);
  if (body.is_object() && body.contains("error")) {
    const json& error = body["error"];
    if (error.is_string()) message = error.get<std::string>();
    if (error.is_object()) message = error.value("message", "");
  }
  if (message.empty()) {
    message = fmt::format("HTTP {} {}", response.status, http::ReasonPhrase(response.status));
  }
  if (const auto id = response.headers.Get("x-request-id"); !id.empty()) {
    message += fmt::format(" (request {})", id);
  }
  return absl::Status(CodeOf(response.status), message);
}

absl::StatusOr<Api> Api::Connect(const Context& context) {
  http::ClientOptions options;
  options.ca_file = context.ca_file;
  options.headers.Add("User-Agent", "slipway-cli");
  if (!context.api_key.empty()) options.headers.Add("Authorization", "Bearer " + context.api_key);
  ASSIGN_OR_RETURN(http::Client client, http::Client::Create(context.url, std::move(options)));
  return Api(std::move(client));
}

absl::StatusOr<json> Api::Get(const std::string& path, const Query& query) const {
  ASSIGN_OR_RETURN(const http::Response response, client_.Send(MakeRequest("GET", path, query)));
  return ParseAnswer(response);
}

absl::StatusOr<json> Api::Post(const std::string& path, const json& body,
                               const Query& query) const {
  return Call("POST", path, body, query);
}

absl::StatusOr<json> Api::Call(const std::string& method, const std::string& path, const json& body,
                               const Query& query) const {
  http::Request request = MakeRequest(method, path, query);
  if (!body.is_null()) {
    request.headers.Add("Content-Type", "application/json");
    request.body = body.dump();
  }
  ASSIGN_OR_RETURN(const http::Response response, client_.Send(request));
  return ParseAnswer(response);
}

absl::StatusOr<json> Api::List(const std::string& path, const std::string& key, int64_t limit,
                               const Query& query) const {
  json items = json::array();
  std::string token;
  do {
    Query of_page = query;
    of_page.emplace_back("pageSize", std::to_string(std::min<int64_t>(limit, kPageSize)));
    if (!token.empty()) of_page.emplace_back("pageToken", token);
    ASSIGN_OR_RETURN(json page, Get(path, of_page));
    for (json& item : page[key]) {
      if (static_cast<int64_t>(items.size()) < limit) items.push_back(std::move(item));
    }
    token = page.value("nextPageToken", "");
  } while (!token.empty() && static_cast<int64_t>(items.size()) < limit);
  return items;
}

absl::StatusOr<json> Api::Upload(const std::string& path, const Query& query, std::istream& body,
                                 uint64_t length, const http::Client::Progress& progress) const {
  http::Request request = MakeRequest("POST", path, query);
  request.headers.Add("Content-Type", "application/octet-stream");
  ASSIGN_OR_RETURN(const http::Response response, client_.Upload(request, body, length, progress));
  return ParseAnswer(response);
}

absl::Status Api::Download(const std::string& path, const http::Client::Sink& sink) const {
  ASSIGN_OR_RETURN(const http::Response response,
                   client_.Download(MakeRequest("GET", path, {}), sink));
  return ToStatus(response);
}

absl::Status Api::Watch(const std::string& path, const Query& query, std::stop_token stop,
                        const std::function<absl::Status(const json&)>& each) const {
  ASSIGN_OR_RETURN(const http::Response response,
                   client_.ReadLines(
                       MakeRequest("GET", path, query),
                       [&](std::string_view line) -> absl::Status {
                         if (line.empty()) return absl::OkStatus();
                         const json event = json::parse(line, nullptr, false);
                         if (event.is_discarded()) {
                           return absl::InternalError("the stream holds a line that is no JSON");
                         }
                         if (event.is_object() && event.contains("error")) {
                           return absl::UnavailableError(
                               event["error"].value("message", "the stream broke off"));
                         }
                         return each(event);
                       },
                       stop));
  return ToStatus(response);
}

}  // namespace slipway::cli
