#include "services/gateway/error_body.h"

#include <utility>

#include "common/http/grpc/protocol.h"
#include "common/http/status_headers.h"
#include "fmt/format.h"
#include "services/gateway/limits/refusal.h"
#include "services/gateway/oip/infer_json.h"

namespace slipway::gateway {
namespace {

bool IsProtocolPath(std::string_view path) { return path == "/v2" || path.substr(0, 4) == "/v2/"; }
bool IsOpenAiPath(std::string_view path) { return path == "/v1" || path.substr(0, 4) == "/v1/"; }

std::string Quoted(std::string_view text) {
  std::string out;
  if (AppendJsonString(text, out)) return out;
  // Bytes of a caller that are no text: shown as far as they are.
  std::string ascii;
  for (const char c : text) ascii += static_cast<unsigned char>(c) < 0x80 ? c : '?';
  out.clear();
  AppendJsonString(ascii, out);
  return out;
}

std::string ApiJson(std::string_view code, std::string_view message, std::string_view field,
                    std::string_view request_id) {
  return fmt::format(R"({{"error":{{"code":"{}","message":{},"field":{},"requestId":{}}}}})", code,
                     Quoted(message), Quoted(field), Quoted(request_id));
}

// What OpenAI calls the kind of an error, and the error itself; "" where it has no name.
std::string_view OpenAiType(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 429:
      return "rate_limit_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string_view OpenAiCode(int status) {
  switch (status) {
    case 401:
      return "invalid_api_key";
    case 403:
      return "permission_denied";
    case 404:
      return "not_found";
    case 409:
      return "conflict";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_exceeded";
    default:
      return "";
  }
}

std::string OpenAiJson(int status, std::string_view message, std::string_view param,
                       bool over_budget = false) {
  const auto or_null = [](std::string_view text) {
    return text.empty() ? std::string("null") : Quoted(text);
  };
  return fmt::format(R"({{"error":{{"message":{},"type":"{}","param":{},"code":{}}}}})",
                     Quoted(message), over_budget ? "insufficient_quota" : OpenAiType(status),
                     or_null(param),
                     or_null(over_budget ? "insufficient_quota" : OpenAiCode(status)));
}

http::Response JsonResponse(int status, std::string body, http::Headers headers = {}) {
  http::Response response;
  response.status = status;
  response.headers = std::move(headers);
  response.headers.Add("content-type", "application/json");
  // Ours to recover from, or the caller's to slow down.
  if ((status == 503 || status == 429) && !response.headers.Has("retry-after")) {
    response.headers.Add("retry-after", "1");
  }
  if (status == 401) response.headers.Add("www-authenticate", "Bearer realm=\"slipway\"");
  response.body = std::move(body);
  return response;
}

}  // namespace

std::string_view ErrorCode(const absl::Status& status) {
  switch (ToHttpCode(status)) {
    case 507:
      return "STORAGE_FULL";
    case 413:
      return "TOO_LARGE";
    default:
      break;
  }
  if (IsOverBudget(status)) return "INSUFFICIENT_QUOTA";
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
      return "CANCELLED";
    case absl::StatusCode::kInvalidArgument:
      return "INVALID_ARGUMENT";
    case absl::StatusCode::kDeadlineExceeded:
      return "DEADLINE_EXCEEDED";
    case absl::StatusCode::kNotFound:
      return "NOT_FOUND";
    case absl::StatusCode::kAlreadyExists:
      return "ALREADY_EXISTS";
    case absl::StatusCode::kPermissionDenied:
      return "PERMISSION_DENIED";
    case absl::StatusCode::kUnauthenticated:
      return "UNAUTHENTICATED";
    case absl::StatusCode::kResourceExhausted:
      return "RESOURCE_EXHAUSTED";
    case absl::StatusCode::kFailedPrecondition:
      return "FAILED_PRECONDITION";
    case absl::StatusCode::kAborted:
      return "ABORTED";
    case absl::StatusCode::kOutOfRange:
      return "OUT_OF_RANGE";
    case absl::StatusCode::kUnimplemented:
      return "UNIMPLEMENTED";
    case absl::StatusCode::kUnavailable:
      return "UNAVAILABLE";
    default:
      return "INTERNAL";
  }
}

std::string CallersMessage(const absl::Status& status) {
  if (ToHttpCode(status) == 500) return "the platform failed; its log has this request id";
  return std::string(status.message());
}

std::string ApiErrorJson(const absl::Status& status, std::string_view request_id) {
  return ApiJson(ErrorCode(status), CallersMessage(status), FieldOf(status), request_id);
}

http::Response ApiError(const absl::Status& status, std::string_view request_id) {
  return JsonResponse(ToHttpCode(status), ApiErrorJson(status, request_id),
                      http::HeadersOf(status));
}

int ProtocolCode(const absl::Status& status) {
  const int code = ToHttpCode(status);
  if (code == 429 && !IsOverLimit(status)) return 503;
  switch (code) {
    case 409:
      return 400;
    case 500:
      return 500;
    default:
      return code;
  }
}

http::Response ProtocolError(const absl::Status& status, std::string_view request_id) {
  const int code = ProtocolCode(status);
  std::string message = CallersMessage(status);
  if (code == 500) message += fmt::format(" ({})", request_id);
  return JsonResponse(code, fmt::format(R"({{"error":{}}})", Quoted(message)),
                      http::HeadersOf(status));
}

http::Response OpenAiError(const absl::Status& status) {
  const int mapped = ToHttpCode(status);
  const int code = mapped == 501 ? 404 : mapped;
  http::Response response = JsonResponse(
      code, OpenAiJson(code, CallersMessage(status), FieldOf(status), IsOverBudget(status)),
      http::HeadersOf(status));
  if (code == 429 || code == 503) {
    if (!response.headers.Has("retry-after-ms")) response.headers.Add("retry-after-ms", "1000");
  } else if (absl::IsAlreadyExists(status) || IsStorageFull(status)) {
    response.headers.Add("x-should-retry", "false");
  }
  return response;
}

http::Response ErrorFor(std::string_view path, const absl::Status& status,
                        std::string_view request_id) {
  if (IsOpenAiPath(path)) return OpenAiError(status);
  return IsProtocolPath(path) ? ProtocolError(status, request_id) : ApiError(status, request_id);
}

http::Response MethodNotAllowed(std::string_view path, std::string_view allow,
                                std::string_view request_id) {
  const std::string message = fmt::format("this path takes {}", allow);
  http::Response response = JsonResponse(
      405, IsProtocolPath(path) ? fmt::format(R"({{"error":{}}})", Quoted(message))
           : IsOpenAiPath(path) ? OpenAiJson(405, message, "")
                                : ApiJson("METHOD_NOT_ALLOWED", message, "", request_id));
  response.headers.Add("allow", allow);
  return response;
}

http::Response ListenerError(const http::ServerError& error) {
  if (error.head != nullptr && http::grpc::IsGrpc(*error.head)) {
    return http::grpc::ErrorAnswer(http::grpc::FromServerError(error), error.request_id);
  }
  const std::string_view path = error.head != nullptr ? error.head->path() : "";
  if (IsProtocolPath(path)) {
    return JsonResponse(error.status, fmt::format(R"({{"error":{}}})", Quoted(error.message)));
  }
  if (IsOpenAiPath(path)) {
    return JsonResponse(error.status, OpenAiJson(error.status, error.message, ""));
  }
  std::string code = error.status == 413 ? "TOO_LARGE" : "";
  for (const char c : code.empty() ? error.code : std::string_view())
    code += c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  return JsonResponse(error.status, ApiJson(code, error.message, "", error.request_id));
}

}  // namespace slipway::gateway
