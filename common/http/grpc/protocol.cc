#include "common/http/grpc/protocol.h"

#include <charconv>
#include <utility>

#include "absl/strings/escaping.h"
#include "common/http/status_headers.h"
#include "common/text/text.h"
#include "fmt/format.h"
#include "slipway/status/v1/status.pb.h"

namespace slipway::http::grpc {
namespace {

constexpr std::string_view kContentType = "application/grpc";
// Longer ones would not fit into what peers take as trailers.
constexpr size_t kMaxMessageBytes = 2048;

// What follows "application/grpc" in a content-type; nothing for another type.
std::optional<std::string_view> SubtypeOf(const Headers& headers) {
  std::string_view type = headers.Get("content-type");
  if (type.size() < kContentType.size() ||
      !EqualsIgnoringCase(type.substr(0, kContentType.size()), kContentType)) {
    return std::nullopt;
  }
  type.remove_prefix(kContentType.size());
  type = WithoutBlanks(type.substr(0, type.find(';')));
  if (!type.empty() && type.front() != '+') return std::nullopt;
  return type;
}

// As the protocol has it: printable ASCII but '%' as it is, every other byte as %XX.
std::string EncodeMessage(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<uint8_t>(c));
    }
  }
  return out;
}

std::string Cut(std::string text) {
  if (text.size() <= kMaxMessageBytes) return text;
  size_t end = kMaxMessageBytes;
  while (end > 0 && (text[end] & 0xc0) == 0x80) --end;  // not inside a UTF-8 character
  text.resize(end);
  return text;
}

template <class Detail>
void AddDetail(std::string_view type, const Detail& detail, status::v1::StatusDetails& details) {
  auto& any = *details.add_details();
  any.set_type_url(fmt::format("type.googleapis.com/google.rpc.{}", type));
  any.set_value(detail.SerializeAsString());
}

}  // namespace

bool IsGrpc(const RequestHead& head) { return SubtypeOf(head.headers).has_value(); }

absl::StatusOr<Call> ParseCall(const RequestHead& head) {
  const auto subtype = SubtypeOf(head.headers);
  if (!subtype || (!subtype->empty() && *subtype != "+proto")) {
    return absl::UnimplementedError(
        "messages are taken as application/grpc or application/grpc+proto");
  }
  if (head.method != "POST") {
    return absl::InvalidArgumentError("gRPC calls are sent with the HTTP method POST");
  }
  Call call;
  const std::string_view path = head.path();
  const size_t slash = path.rfind('/');
  if (slash < 2 || slash + 1 == path.size() || path.size() != head.target.size() ||
      path.find('/', 1) != slash) {
    return absl::UnimplementedError("the path is not that of a method: /package.Service/Method");
  }
  call.service = path.substr(1, slash - 1);
  call.method = path.substr(slash + 1);
  if (const auto timeout = head.headers.Find("grpc-timeout")) {
    ASSIGN_OR_RETURN(call.timeout, ParseTimeout(*timeout));
  }
  if (const auto coding = head.headers.Find("grpc-encoding")) {
    const auto known = ParseCoding(*coding);
    if (!known) {
      return absl::UnimplementedError(fmt::format(
          "grpc-encoding {} is not taken; identity, deflate and gzip are", coding->substr(0, 40)));
    }
    call.coding = *known;
  }
  return call;
}

absl::StatusOr<absl::Duration> ParseTimeout(std::string_view text) {
  const auto wrong = [] {
    return InvalidField("grpc-timeout", "must be 1 to 8 digits and one of H, M, S, m, u, n");
  };
  if (text.size() < 2 || text.size() > 9) return wrong();
  const std::string_view digits = text.substr(0, text.size() - 1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size() || value < 0 ||
      digits.front() == '-') {
    return wrong();
  }
  switch (text.back()) {
    case 'H':
      return absl::Hours(value);
    case 'M':
      return absl::Minutes(value);
    case 'S':
      return absl::Seconds(value);
    case 'm':
      return absl::Milliseconds(value);
    case 'u':
      return absl::Microseconds(value);
    case 'n':
      return absl::Nanoseconds(value);
    default:
      return wrong();
  }
}

Headers AnswerHead() {
  return {{"content-type", kContentType}, {"grpc-accept-encoding", "identity,deflate,gzip"}};
}

std::string PublicDetails(const absl::Status& status, std::string_view request_id) {
  const std::string message = Cut(std::string(status.message()));
  status::v1::StatusDetails details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(message);
  if (const std::string field = FieldOf(status); !field.empty() && field.size() < 512) {
    status::v1::BadRequest bad;
    auto& violation = *bad.add_field_violations();
    violation.set_field(field);
    violation.set_description(message);
    AddDetail("BadRequest", bad, details);
  }
  if (!request_id.empty()) {
    status::v1::RequestInfo info;
    info.set_request_id(std::string(request_id));
    AddDetail("RequestInfo", info, details);
  }
  return details.SerializeAsString();
}

Headers Trailers(const absl::Status& status, std::string_view request_id, DetailsOf details) {
  Headers trailers;
  // The codes of Abseil are those of gRPC.
  trailers.Add("grpc-status", fmt::format("{}", static_cast<int>(status.code())));
  if (status.ok()) return trailers;
  trailers.Add("grpc-message", EncodeMessage(Cut(std::string(status.message()))));
  if (const std::string bytes = details(status, request_id); !bytes.empty()) {
    std::string encoded;
    absl::Base64Escape(bytes, &encoded);
    trailers.Add("grpc-status-details-bin", encoded);
  }
  for (const Headers::Field field : HeadersOf(status)) trailers.Add(field.name, field.value);
  return trailers;
}

Response ErrorAnswer(const absl::Status& status, std::string_view request_id, DetailsOf details) {
  Response response;
  response.headers = AnswerHead();
  for (const Headers::Field field : Trailers(status, request_id, details)) {
    response.headers.Add(field.name, field.value);
  }
  return response;
}

absl::Status FromServerError(const ServerError& error) {
  const std::string message(error.message);
  switch (error.status) {
    case 408:
    case 504:
      return absl::DeadlineExceededError(message);
    case 413:
    case 431:
      return absl::ResourceExhaustedError(message);
    case 500:
      return absl::InternalError(message);
    case 503:
      return absl::UnavailableError(message);
    default:
      return absl::InvalidArgumentError(message);
  }
}

}  // namespace slipway::http::grpc
