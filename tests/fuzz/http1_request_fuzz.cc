// HTTP/1.1 requests: a connection's bytes are the same requests in whatever pieces they come, and
// what is taken for a request can be read in one way only.

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/http/server/input_buffer.h"
#include "common/http/server/request_body.h"
#include "common/http/server/request_parser.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace slipway::http;
using slipway::FuzzExpect;

constexpr size_t kMaxHeader = 1 << 10;
constexpr uint64_t kMaxBody = 1 << 14;

struct Request {
  std::string method;
  std::string target;
  std::vector<std::string> fields;
  std::string body;
  bool operator==(const Request&) const = default;
};

struct Result {
  std::vector<Request> requests;
  bool ok = true;
  bool operator==(const Result&) const = default;
};

void CheckHead(const ParsedHead& parsed) {
  const RequestHead& head = parsed.head;
  FuzzExpect(!head.method.empty(), "a request has a method");
  FuzzExpect(head.target.starts_with('/') || head.target == "*", "a target is a path or a star");
  FuzzExpect(head.headers.size() <= kMaxHeaderFields, "fields are counted");
  size_t hosts = 0, lengths = 0, encodings = 0;
  for (const Headers::Field field : head.headers) {
    FuzzExpect(!field.name.empty() && field.name.find_first_of(std::string_view("\r\n\0 \t:", 6)) ==
                                          std::string_view::npos,
               "a field's name is a token");
    FuzzExpect(field.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos,
               "a field's value is one line");
    hosts += EqualsIgnoringCase(field.name, "host") ? 1 : 0;
    lengths += EqualsIgnoringCase(field.name, "content-length") ? 1 : 0;
    encodings += EqualsIgnoringCase(field.name, "transfer-encoding") ? 1 : 0;
  }
  FuzzExpect(head.http_version == 10 ? hosts <= 1 : hosts == 1, "there is one Host");
  FuzzExpect(lengths + encodings <= 1, "a body's length is told once");
  FuzzExpect((parsed.framing == Framing::kChunked) == (encodings == 1), "and believed");
}

// Takes what `input` holds; false when more must come.
class Reader {
 public:
  bool Advance(InputBuffer& input) {
    if (!open_) {
      size_t consumed = 0;
      ParsedHead parsed;
      switch (parser_.ParseHead(input.view(), consumed, parsed)) {
        case RequestParser::Result::kNeedMore:
          FuzzExpect(input.size() <= kMaxHeader, "a header is within its limit");
          return false;
        case RequestParser::Result::kError:
          result.ok = false;
          return false;
        case RequestParser::Result::kDone:
          break;
      }
      FuzzExpect(consumed <= input.size(), "what is taken has come");
      input.Consume(consumed);
      CheckHead(parsed);
      body_ = RequestBody(parsed, kMaxBody);
      open_ = true;
      request_ = {parsed.head.method, parsed.head.target, {}, {}};
      for (const Headers::Field field : parsed.head.headers) {
        request_.fields.push_back(std::string(field.name) + ": " + std::string(field.value));
      }
    }
    if (!body_.done()) {
      switch (body_.Take(input, parser_, request_.body)) {
        case RequestBody::Result::kMore:
          return false;
        case RequestBody::Result::kTooLarge:
        case RequestBody::Result::kMalformed:
          result.ok = false;
          return false;
        case RequestBody::Result::kDone:
          break;
      }
    }
    FuzzExpect(request_.body.size() <= kMaxBody, "a body is within its limit");
    result.requests.push_back(std::exchange(request_, {}));
    open_ = false;
    return true;
  }

  Result result;

 private:
  RequestParser parser_{kMaxHeader};
  RequestBody body_;
  bool open_ = false;  // its body comes in
  Request request_;
};

Result Read(std::string_view bytes, size_t piece) {
  Reader reader;
  InputBuffer input;
  while (reader.result.ok && !bytes.empty()) {
    const std::string_view here = bytes.substr(0, piece);
    const auto [space, size] = input.Prepare(input.size() + here.size());
    std::copy(here.begin(), here.end(), space);
    input.Commit(here.size());
    bytes.remove_prefix(here.size());
    while (!input.empty() && reader.Advance(input)) {
    }
  }
  return std::move(reader.result);
}

}  // namespace

std::vector<std::string> slipway::FuzzSeeds() {
  // The first byte: the size of the pieces.
  const std::string get = "GET /v2?a=b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n";
  const std::string chunked =
      "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;a=\"b\"\r\nhello\r\n0\r\nTrailer: t\r\n\r\n";
  const std::string length = "PUT /x HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody";
  return {"\x07" + get + length + get,
          "\x01" + chunked + get,
          "\x20\r\nOPTIONS * HTTP/1.0\r\n\r\n",
          "\x10POST http://x/y HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
          "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
          "\x01POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\r\n",
          "\x03GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Result whole = Read(bytes, std::max<size_t>(1, bytes.size()));
  const Result pieces = Read(bytes, 1 + (data[0] & 0x3f));
  FuzzExpect(whole == pieces, "requests do not depend on how the bytes come");
  return 0;
}
