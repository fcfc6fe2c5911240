#include "common/http/server/response_writer.h"

#include <charconv>
#include <ctime>

namespace slipway::http {
namespace {

bool IsToken(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool digit = c >= '0' && c <= '9';
    if (!letter && !digit &&
        std::string_view("!#$%&'*+-.^_`|~").find(c) == std::string_view::npos) {
      return false;
    }
  }
  return true;
}

bool IsFraming(std::string_view name) {
  switch (name.size()) {
    case 7:
      return EqualsIgnoringCase(name, "upgrade");
    case 10:
      return EqualsIgnoringCase(name, "connection") || EqualsIgnoringCase(name, "keep-alive");
    case 14:
      return EqualsIgnoringCase(name, "content-length");
    case 16:
      return EqualsIgnoringCase(name, "proxy-connection");
    case 17:
      return EqualsIgnoringCase(name, "transfer-encoding");
    default:
      return false;
  }
}

void AppendNumber(std::string& out, uint64_t number) {
  char digits[20];
  const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
  out.append(digits, static_cast<size_t>(end - digits));
}

void AppendField(std::string& out, std::string_view name, std::string_view value) {
  out.append(name);
  out.append(": ");
  AppendFieldValue(out, value);
  out.append("\r\n");
}

void AppendTwoDigits(std::string& out, int number) {
  out.push_back(static_cast<char>('0' + number / 10));
  out.push_back(static_cast<char>('0' + number % 10));
}

}  // namespace

// Made once a second and thread.
std::string_view HttpDate(absl::Time now) {
  static constexpr char kDays[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr char kMonths[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  static thread_local std::string text;
  static thread_local std::time_t text_second = -1;
  const std::time_t second = absl::ToTimeT(now);
  if (second != text_second) {
    std::tm parts{};
    ::gmtime_r(&second, &parts);
    text = kDays[parts.tm_wday];
    text.append(", ");
    AppendTwoDigits(text, parts.tm_mday);
    text.append(" ").append(kMonths[parts.tm_mon]).append(" ");
    AppendNumber(text, static_cast<uint64_t>(parts.tm_year) + 1900);
    text.append(" ");
    AppendTwoDigits(text, parts.tm_hour);
    text.append(":");
    AppendTwoDigits(text, parts.tm_min);
    text.append(":");
    AppendTwoDigits(text, parts.tm_sec);
    text.append(" GMT");
    text_second = second;
  }
  return text;
}

bool MaySendField(std::string_view name) { return !IsFraming(name) && IsToken(name); }

void AppendFieldValue(std::string& out, std::string_view value) {
  const size_t start = out.size();
  out.append(value);
  for (size_t i = start; i < out.size(); ++i) {
    const unsigned char c = static_cast<unsigned char>(out[i]);
    if ((c < 0x20 && c != '\t') || c == 0x7f) out[i] = ' ';
  }
}

bool IsBodiless(int status, std::string_view request_method) {
  return status == 204 || status == 304 || status / 100 == 1 || request_method == "HEAD";
}

void AppendResponseHead(std::string& out, int status, const Headers& headers,
                        const ResponseFrame& frame) {
  out.reserve(out.size() + 256);
  out.append("HTTP/1.1 ");
  AppendNumber(out, static_cast<uint64_t>(status));
  out.push_back(' ');
  out.append(ReasonPhrase(status));
  out.append("\r\n");
  bool has_id = false;
  for (const Headers::Field field : headers) {
    if (!MaySendField(field.name)) continue;
    has_id = has_id || (field.name.size() == 12 && EqualsIgnoringCase(field.name, "x-request-id"));
    AppendField(out, field.name, field.value);
  }
  if (!has_id && !frame.request_id.empty()) AppendField(out, "x-request-id", frame.request_id);
  out.append("Date: ").append(HttpDate(frame.now)).append("\r\n");
  if (frame.chunked) {
    out.append("Transfer-Encoding: chunked\r\n");
  } else if (frame.content_length.has_value()) {
    out.append("Content-Length: ");
    AppendNumber(out, *frame.content_length);
    out.append("\r\n");
  }
  if (!frame.keep_alive) {
    out.append("Connection: close\r\n");
  } else if (frame.http_version < 11) {
    out.append("Connection: keep-alive\r\n");
  }
  out.append("\r\n");
}

void AppendTrailers(std::string& out, const Headers& trailers) {
  for (const Headers::Field field : trailers) {
    if (MaySendField(field.name)) AppendField(out, field.name, field.value);
  }
  out.append("\r\n");
}

}  // namespace slipway::http
