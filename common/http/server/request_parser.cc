#include "common/http/server/request_parser.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

namespace slipway::http {
namespace {

namespace beast = boost::beast;
using Field = beast::http::field;

constexpr ParseError kBadVersion = {
    .status = 505, .code = "version_not_supported", .message = "only HTTP/1.0 and 1.1 are spoken"};

std::string_view View(beast::string_view text) { return {text.data(), text.size()}; }

bool IsDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string_view MessageFor(const beast::error_code& error) {
  using Error = beast::http::error;
  if (error == Error::bad_method) return "the method is not a token";
  if (error == Error::bad_target) return "the request target holds characters that it may not";
  if (error == Error::bad_version) return "the request line does not end in an HTTP version";
  if (error == Error::bad_field) return "a header field's name holds characters that it may not";
  if (error == Error::bad_value) return "a header field's value holds characters that it may not";
  if (error == Error::bad_line_ending) return "a carriage return stands without its line feed";
  if (error == Error::bad_content_length) {
    return "Content-Length is not one plain number, or stands beside Transfer-Encoding";
  }
  if (error == Error::bad_transfer_encoding) {
    return "Transfer-Encoding is repeated, or stands beside Content-Length";
  }
  if (error == Error::bad_chunk) return "a chunk of the body has no valid size";
  if (error == Error::bad_chunk_extension) return "a chunk's extension is malformed";
  return "the request is malformed";
}

// A request line of three words whose last is a version, if not one of ours.
bool HasOtherVersion(std::string_view head) {
  const std::string_view line = head.substr(0, head.find('\r'));
  if (line.size() < 9 || std::count(line.begin(), line.end(), ' ') != 2) return false;
  const std::string_view version = line.substr(line.size() - 9);
  return version.substr(0, 6) == " HTTP/" && IsDigits(version.substr(6, 1)) && version[7] == '.' &&
         IsDigits(version.substr(8, 1));
}

}  // namespace

// Beast reads, this collects and refuses.
class RequestParser::Beast final : public beast::http::basic_parser<true> {
 public:
  explicit Beast(size_t max_header_bytes) {
    header_limit(static_cast<uint32_t>(max_header_bytes) + 4);
    // The connection counts bodies, as a route may change its limit. Not boost::none: Beast 1.74
    // then finds every Content-Length over the limit.
    body_limit(std::numeric_limits<uint64_t>::max());
  }

  // Reads the head, which is whole, or reads chunks into `body`.
  size_t Put(std::string_view input, beast::error_code& error) {
    input_ = input;
    return put(boost::asio::const_buffer(input.data(), input.size()), error);
  }

  void StartBody() { eager(true); }

  ParsedHead parsed;
  std::string* body = nullptr;
  uint64_t chunk_left = 0;  // data of the present chunk that is still to come
  uint64_t chunks = 0;
  ParseError problem;  // set where a hook below refused

 private:
  void Refuse(beast::error_code& error, const ParseError& why) {
    problem = why;
    error = beast::http::error::bad_field;
  }
  void Refuse(beast::error_code& error, std::string_view message) {
    Refuse(error, ParseError{.message = message});
  }

  // A folded value was joined elsewhere, or began on a later line than its name.
  bool IsFolded(beast::string_view name, beast::string_view value) const {
    const char* const end = input_.data() + input_.size();
    if (value.data() < name.end() || value.data() > end) return true;
    return std::memchr(name.end(), '\r', static_cast<size_t>(value.data() - name.end())) != nullptr;
  }

  void on_request_impl(beast::http::verb, beast::string_view method, beast::string_view target,
                       int version, beast::error_code& error) override {
    parsed.head.method = View(method);
    parsed.head.http_version = version;
    std::string_view text = View(target);
    if (text.find('#') != std::string_view::npos) {
      return Refuse(error, "the request target holds a fragment");
    }
    if (EqualsIgnoringCase(text.substr(0, 7), "http://") ||
        EqualsIgnoringCase(text.substr(0, 8), "https://")) {
      // The absolute form (RFC 9112, 3.2.2); one origin is served here whatever its name.
      const size_t path = text.find_first_of("/?", text.find("://") + 3);
      text = path == std::string_view::npos ? std::string_view("/") : text.substr(path);
      if (text[0] == '?') parsed.head.target = "/";
    }
    const bool asterisk = text == "*" && parsed.head.method == "OPTIONS";
    if (text[0] != '/' && text[0] != '?' && !asterisk) {
      return Refuse(error, "the request target must start with '/'");
    }
    if (text[0] == '?' && parsed.head.target.empty()) {
      return Refuse(error, "the request target must start with '/'");
    }
    parsed.head.target += text;
  }

  void on_field_impl(Field field, beast::string_view name, beast::string_view value,
                     beast::error_code& error) override {
    if (IsFolded(name, value)) return Refuse(error, "a header field is folded over lines");
    if (body != nullptr) return;  // a trailer: well formed, of no use to anyone here
    const std::string_view text = View(value);
    switch (field) {
      case Field::host:
        if (has_host_) return Refuse(error, "there is more than one Host");
        has_host_ = true;
        if (!IsHost(text)) return Refuse(error, "Host is not a name and a port");
        break;
      case Field::content_length:
        // Beast takes a list of equal numbers, and the field again with the same one.
        if (has_length_ || !IsDigits(text)) {
          return Refuse(error, "Content-Length is not one plain number");
        }
        has_length_ = true;
        break;
      case Field::transfer_encoding:
        // Beast takes other codings and leaves them to its caller.
        if (!EqualsIgnoringCase(text, "chunked") || parsed.head.http_version < 11) {
          return Refuse(error, "Transfer-Encoding: only chunked is understood");
        }
        break;
      case Field::expect:
        if (!EqualsIgnoringCase(text, "100-continue")) return Refuse(error, kBadExpectation);
        parsed.expects_continue = parsed.head.http_version >= 11;
        break;
      default:
        break;
    }
    if (parsed.head.headers.size() == kMaxHeaderFields) return Refuse(error, kHeaderTooLarge);
    parsed.head.headers.Add(View(name), text);
  }

  void on_header_impl(beast::error_code& error) override {
    if (!has_host_ && parsed.head.http_version >= 11) return Refuse(error, "there is no Host");
    if (chunked()) {
      parsed.framing = Framing::kChunked;
    } else if (has_length_) {
      parsed.framing = Framing::kLength;
      parsed.content_length = *content_length();
    }
    parsed.keep_alive = keep_alive();
  }

  void on_chunk_header_impl(uint64_t size, beast::string_view extension,
                            beast::error_code& error) override {
    // Beast takes anything between quotes, a line feed too.
    for (const char c : extension) {
      const unsigned char byte = static_cast<unsigned char>(c);
      if ((byte < 0x20 && c != '\t') || byte == 0x7f) {
        return Refuse(error, "a chunk's extension holds characters that it may not");
      }
    }
    chunk_left = size;
    ++chunks;
  }

  size_t on_chunk_body_impl(uint64_t, beast::string_view piece, beast::error_code&) override {
    body->append(piece.data(), piece.size());
    chunk_left -= piece.size();
    return piece.size();
  }

  // The rest is of no interest: this reads requests, and bodies of a known length go past it.
  void on_response_impl(int, beast::string_view, int, beast::error_code&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, beast::error_code&) override {}
  size_t on_body_impl(beast::string_view piece, beast::error_code&) override {
    return piece.size();
  }
  void on_finish_impl(beast::error_code&) override {}

  std::string_view input_;
  bool has_host_ = false;
  bool has_length_ = false;
};

bool IsHost(std::string_view text) {
  return text.find_first_of(" \t,/\\@?#") == std::string_view::npos;
}

RequestParser::RequestParser(size_t max_header_bytes) : max_header_bytes_(max_header_bytes) {}

RequestParser::~RequestParser() = default;

RequestParser::Result RequestParser::Fail(const ParseError& error) {
  error_ = error;
  return Result::kError;
}

RequestParser::Result RequestParser::Fail(std::string_view message) {
  return Fail(ParseError{.message = message});
}

RequestParser::Result RequestParser::FindEndOfHead(std::string_view input, size_t& end) {
  for (;;) {
    const size_t feed = input.find('\n', scanned_);
    if (feed == std::string_view::npos) {
      scanned_ = input.size();
      return scanned_ > max_header_bytes_ ? Fail(kHeaderTooLarge) : Result::kNeedMore;
    }
    if (feed >= max_header_bytes_) return Fail(kHeaderTooLarge);
    if (feed == line_start_ || input[feed - 1] != '\r') {
      return Fail("a line feed stands without its carriage return");
    }
    const bool empty = feed == line_start_ + 1;
    const bool folded = input[line_start_] == ' ' || input[line_start_] == '\t';
    if (folded) return Fail("a header field is folded over lines");
    const bool first = line_start_ == 0;
    scanned_ = line_start_ = feed + 1;
    // An empty line ahead of the request line is passed over (RFC 9112, 2.2).
    if (empty && !first) {
      end = scanned_;
      return Result::kDone;
    }
  }
}

RequestParser::Result RequestParser::ParseHead(std::string_view input, size_t& consumed,
                                               ParsedHead& parsed) {
  size_t end = 0;
  if (const Result result = FindEndOfHead(input, end); result != Result::kDone) return result;
  const size_t skipped = input.substr(0, 2) == "\r\n" ? 2 : 0;
  const std::string_view head = input.substr(skipped, end - skipped);
  scanned_ = line_start_ = 0;

  beast_ = std::make_unique<Beast>(max_header_bytes_);
  beast::error_code error;
  const size_t read = beast_->Put(head, error);
  if (error) {
    if (!beast_->problem.message.empty()) return Fail(beast_->problem);
    if (error == beast::http::error::bad_version && HasOtherVersion(head)) return Fail(kBadVersion);
    return Fail(MessageFor(error));
  }
  if (read != head.size() || !beast_->is_header_done()) return Fail(MessageFor({}));
  consumed = end;
  parsed = std::move(beast_->parsed);
  if (parsed.framing == Framing::kChunked) {
    beast_->StartBody();
  } else {
    beast_.reset();
  }
  return Result::kDone;
}

RequestParser::Result RequestParser::ParseChunks(std::string_view input, size_t& consumed,
                                                 std::string& body) {
  consumed = 0;
  beast_->body = &body;
  beast::error_code error;
  // Beast asserts to have five bytes when it takes up a last chunk again that came in parts. Only
  // one that is the first as well, "0\r\n", can come with fewer; no body ends there.
  const std::string_view line_end = input.substr(std::min(input.find('\r'), input.size()), 2);
  const bool last_chunk_in_parts =
      beast_->chunks == 0 && input.size() < 5 && input.starts_with('0') && line_end == "\r\n";
  if (input.empty() || last_chunk_in_parts) {
    error = beast::http::error::need_more;
  } else {
    consumed = beast_->Put(input, error);
  }
  if (error && error != beast::http::error::need_more) {
    return beast_->problem.message.empty() ? Fail(MessageFor(error)) : Fail(beast_->problem);
  }
  if (beast_->is_done()) {
    beast_.reset();
    return Result::kDone;
  }
  if (beast_->chunk_left == 0) {
    // What is left is the unfinished line of a chunk's size, or trailers.
    const std::string_view rest = input.substr(consumed);
    if (rest.size() > max_header_bytes_) return Fail(kHeaderTooLarge);
    for (size_t feed = rest.find('\n'); feed != std::string_view::npos;
         feed = rest.find('\n', feed + 1)) {
      if (feed == 0 || rest[feed - 1] != '\r') {
        return Fail("a line feed stands without its carriage return");
      }
    }
  }
  return Result::kNeedMore;
}

}  // namespace slipway::http
