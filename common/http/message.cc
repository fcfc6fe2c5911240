#include "common/http/message.h"

#include <algorithm>

#include "common/text/text.h"

namespace slipway::http {
namespace {

// What a message mostly has room enough in.
constexpr size_t kFirstText = 256;
constexpr size_t kFirstFields = 8;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

}  // namespace

std::optional<uint64_t> ContentLength(const Headers& headers) {
  const auto length = headers.Find("content-length");
  return length ? ParseNumber<uint64_t>(*length) : std::nullopt;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] != b[i] && Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

Headers::Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  for (const auto& [name, value] : fields) Add(name, value);
}

void Headers::Add(std::string_view name, std::string_view value) {
  if (fields_.capacity() == 0) fields_.reserve(kFirstFields);
  fields_.push_back({static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(name.size()),
                     static_cast<uint32_t>(value.size())});
  const size_t size = text_.size() + name.size() + value.size();
  if (size <= text_.capacity()) {
    text_.append(name).append(value);
    return;
  }
  // The arguments may be views of this text, so it must stay until they are copied.
  std::string grown;
  grown.reserve(std::max({size, 2 * text_.capacity(), kFirstText}));
  grown.append(text_).append(name).append(value);
  text_ = std::move(grown);
}

void Headers::Set(std::string_view name, std::string_view value) {
  // The arguments may be views of this very object's text.
  const std::string own_name(name);
  const std::string own_value(value);
  Remove(own_name);
  Add(own_name, own_value);
}

void Headers::Remove(std::string_view name) {
  std::erase_if(fields_, [&](const Span& span) {
    return EqualsIgnoringCase(std::string_view(text_).substr(span.offset, span.name_size), name);
  });
}

std::optional<std::string_view> Headers::Find(std::string_view name) const {
  for (const Field field : *this) {
    if (EqualsIgnoringCase(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::vector<std::string_view> Headers::All(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const Field field : *this) {
    if (EqualsIgnoringCase(field.name, name)) values.push_back(field.value);
  }
  return values;
}

Headers::Field Headers::at(size_t i) const {
  const Span& span = fields_[i];
  const std::string_view text(text_);
  return {text.substr(span.offset, span.name_size),
          text.substr(span.offset + span.name_size, span.value_size)};
}

void Headers::Clear() {
  text_.clear();
  fields_.clear();
}

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 507:
      return "Insufficient Storage";
    default:
      return "Unknown";
  }
}

}  // namespace slipway::http
