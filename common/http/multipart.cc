#include "common/http/multipart.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/http/message.h"
#include "common/text/text.h"

namespace slipway::http {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

absl::Status Malformed(const char* why) {
  return absl::InvalidArgumentError(std::string("the form cannot be read: ") + why);
}

// The parameters of a header field's value behind its first ';': name="a \"quoted\" text" or
// name=token.
std::optional<std::string> Parameter(std::string_view value, std::string_view wanted) {
  size_t at = value.find(';');
  while (at < value.size()) {
    ++at;
    const size_t equals = value.find('=', at);
    if (equals == std::string_view::npos) return std::nullopt;
    const std::string_view name = WithoutBlanks(value.substr(at, equals - at));
    std::string text;
    at = equals + 1;
    if (at < value.size() && value[at] == '"') {
      for (++at; at < value.size() && value[at] != '"'; ++at) {
        // Browsers escape '"' as %22 and leave '\' alone; others write \" and \\.
        const bool escape = value[at] == '\\' && at + 1 < value.size() &&
                            (value[at + 1] == '"' || value[at + 1] == '\\');
        if (escape) ++at;
        text += value[at];
      }
      if (at == value.size()) return std::nullopt;
      at = value.find(';', at);
    } else {
      const size_t end = std::min(value.find(';', at), value.size());
      text = WithoutBlanks(value.substr(at, end - at));
      at = end;
    }
    if (EqualsIgnoringCase(name, wanted)) return text;
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<MultipartReader> MultipartReader::Create(std::string_view content_type) {
  const std::string_view type = WithoutBlanks(content_type.substr(0, content_type.find(';')));
  if (!EqualsIgnoringCase(type, "multipart/form-data")) {
    return InvalidField("content-type", "must be multipart/form-data");
  }
  const std::optional<std::string> boundary = Parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > 70) {
    return InvalidField("content-type", "must name a boundary of 1 to 70 characters");
  }
  return MultipartReader("\r\n--" + *boundary);
}

void MultipartReader::Feed(std::string_view bytes) {
  if (state_ != State::kEnd) buffer_ += bytes;
}

absl::StatusOr<MultipartReader::Event> MultipartReader::Next() {
  switch (state_) {
    case State::kPreamble: {
      const size_t at = buffer_.find(delimiter_);
      if (at == std::string::npos) {
        buffer_.erase(0, buffer_.size() - std::min(buffer_.size(), delimiter_.size()));
        return More();
      }
      buffer_.erase(0, at + delimiter_.size());
      state_ = State::kAfterBoundary;
      return Next();
    }
    case State::kAfterBoundary:
      if (buffer_.size() < 2) return More();
      if (buffer_.starts_with("--")) {
        std::string().swap(buffer_);
        state_ = State::kEnd;
        return End();
      }
      if (!buffer_.starts_with(kLineEnd)) return Malformed("a boundary does not end its line");
      if (++parts_ > kMaxParts) return Malformed("it has too many parts");
      state_ = State::kHeaders;
      return Next();
    case State::kHeaders:
      return ReadHeaders();
    case State::kContent:
      return ReadContent();
    case State::kEnd:
      break;
  }
  return End();
}

// buffer_ begins with the line end that is before the part's head.
absl::StatusOr<MultipartReader::Event> MultipartReader::ReadHeaders() {
  const size_t end = buffer_.find("\r\n\r\n");
  if (std::min(end, buffer_.size()) > kMaxPartHeaderBytes) {
    return Malformed("the head of a part is too long");
  }
  if (end == std::string::npos) return More();
  std::optional<std::string> disposition;
  for (size_t at = 0; at < end;) {
    at += kLineEnd.size();
    const size_t line_end = buffer_.find(kLineEnd, at);
    const std::string_view line(buffer_.data() + at, line_end - at);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return Malformed("a line of a part's head has no colon");
    if (EqualsIgnoringCase(line.substr(0, colon), "content-disposition")) {
      if (disposition) return Malformed("a part has two Content-Dispositions");
      disposition = std::string(WithoutBlanks(line.substr(colon + 1)));
    }
    at = line_end;
  }
  if (!disposition ||
      !EqualsIgnoringCase(disposition->substr(0, disposition->find(';')), "form-data")) {
    return Malformed("a part has no Content-Disposition of form-data");
  }
  std::optional<std::string> name = Parameter(*disposition, "name");
  if (!name) return Malformed("a part has no name");
  std::optional<std::string> filename = Parameter(*disposition, "filename");
  buffer_.erase(0, end + 2 * kLineEnd.size());
  state_ = State::kContent;
  return Part{
      .name = *std::move(name), .filename = filename.value_or(""), .is_file = filename.has_value()};
}

absl::StatusOr<MultipartReader::Event> MultipartReader::ReadContent() {
  const size_t at = buffer_.find(delimiter_);
  if (at == 0) {
    buffer_.erase(0, delimiter_.size());
    state_ = State::kAfterBoundary;
    return Next();
  }
  // What may be the beginning of a boundary is kept back.
  const size_t end = at != std::string::npos
                         ? at
                         : buffer_.size() - std::min(buffer_.size(), delimiter_.size() - 1);
  if (end == 0) return More();
  Data data{buffer_.substr(0, end)};
  buffer_.erase(0, end);
  return data;
}

}  // namespace slipway::http
