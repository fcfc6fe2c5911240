// The server's side of HTTP/2: whatever a client sends, streams come and go within their limits,
// and each is forgotten once.

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/http/server/http2_session.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace slipway::http;
using slipway::FuzzExpect;

constexpr Http2Session::Limits kLimits = {
    .header_bytes = 1 << 10, .streams = 4, .stream_window = 1 << 14};
constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct Request final : Http2Session::Stream {
  explicit Request(int32_t id) : Stream(id) {}
  std::string target;
  bool continued = false;
  bool answering = false;
  uint64_t unopened = 0;  // of its body
};

class Owner final : public Http2Session::Owner {
 public:
  Http2Session::Stream* OnRequest(int32_t id, RequestHead head) override {
    FuzzExpect(!head.method.empty(), "a request has a method");
    FuzzExpect(head.target.starts_with('/') || head.target == "*", "a target is a path or a star");
    size_t bytes = 0;
    for (const Headers::Field field : head.headers) {
      FuzzExpect(!field.name.empty() && field.name[0] != ':', "pseudo-fields are no fields");
      FuzzExpect(field.value.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos,
                 "a field's value is one line");
      bytes += field.name.size() + field.value.size();
    }
    FuzzExpect(bytes <= kLimits.header_bytes, "a header is within its limit");
    // One that refuses is a handler, too.
    return head.target == "/refused" ? nullptr : &Begin(id, head.target);
  }
  Http2Session::Stream* OnBadRequest(int32_t id, const ParseError& why) override {
    FuzzExpect(why.status >= 400 && why.status < 500, "it is the caller's fault");
    return &Begin(id, "/bad");
  }
  void OnMalformed() override {}
  void OnBody(Http2Session::Stream& stream, std::string_view piece) override {
    auto& request = static_cast<Request&>(stream);
    request.unopened += piece.size();
    FuzzExpect(request.unopened <= kLimits.stream_window, "a body is within its window");
  }
  void OnBodyEnd(Http2Session::Stream&) override {}
  void OnAnswered(Http2Session::Stream& stream) override {
    FuzzExpect(static_cast<Request&>(stream).answering, "what is answered was answered here");
  }
  void OnClose(Http2Session::Stream& stream) override {
    FuzzExpect(streams.erase(stream.id()) == 1, "a stream is forgotten once");
  }

  std::map<int32_t, std::unique_ptr<Request>> streams;

 private:
  Request& Begin(int32_t id, const std::string& target) {
    std::unique_ptr<Request>& request = streams[id];
    FuzzExpect(request == nullptr, "a stream begins once");
    FuzzExpect(streams.size() <= kLimits.streams, "no more streams are open than may be");
    request = std::make_unique<Request>(id);
    request->target = target;
    return *request;
  }
};

// What a handler might do with a request, by its path.
void Serve(Http2Session& session, Request& request) {
  if (request.unopened > 0) session.Consume(request, std::exchange(request.unopened, 0));
  if (request.answering) return;
  if (request.target == "/body" && !request.body_ended()) {
    if (!std::exchange(request.continued, true)) session.Continue(request);
    return;
  }
  request.answering = true;
  if (request.target == "/reset") {
    return session.ResetStream(request, Http2Session::Reset::kInternalError);
  }
  const Headers headers = {{"Content-Type", "text/plain"}};
  const bool empty = request.target == "/empty";
  session.StartAnswer(request,
                      {.status = 200,
                       .headers = headers,
                       .request_id = "0",
                       .date = "",
                       .content_length = std::nullopt},
                      /*ends=*/empty);
  if (empty) return;
  session.AddPiece(request, std::string(100, 'x'), nullptr);
  session.EndAnswer(request, {{"grpc-status", "0"}});
}

std::string Frame(char type, char flags, char stream, std::string_view payload) {
  return std::string({'\0', static_cast<char>(payload.size() >> 8),
                      static_cast<char>(payload.size()), type, flags, '\0', '\0', '\0', stream})
      .append(payload);
}

std::string Field(std::string_view name, std::string_view value) {
  return std::string({'\0', static_cast<char>(name.size())})
      .append(name)
      .append(1, static_cast<char>(value.size()))
      .append(value);
}

std::string Head(std::string_view path, std::string_view scheme = "http") {
  return Field(":method", "POST") + Field(":scheme", scheme) + Field(":authority", "x") +
         Field(":path", path) + Field("accept", "*/*");
}

}  // namespace

std::vector<std::string> slipway::FuzzSeeds() {
  const std::string settings = Frame(4, 0, 0, "") + Frame(4, 1, 0, "");
  // The first byte: the size of the pieces.
  return {"\x20" + settings + Frame(1, 5, 1, Head("/a")) + Frame(1, 4, 3, Head("/body")) +
              Frame(0, 1, 3, "body") + Frame(1, 5, 5, Head("/empty")),
          "\x07" + settings + Frame(1, 1, 1, Head("/")) + Frame(9, 4, 1, Field("a", "b")) +
              Frame(3, 0, 1, std::string("\0\0\0\x8", 4)) + Frame(1, 5, 3, Head("/refused")) +
              Frame(1, 5, 5, Head("/reset")) + Frame(1, 5, 7, Head("a", "other")),
          "\x40" + Frame(4, 0, 0, std::string("\0\4\0\0\0\2", 6)) + Frame(1, 5, 1, Head("/a")) +
              Frame(8, 0, 1, std::string("\0\0\0\5", 4)) + Frame(6, 0, 0, "12345678") +
              Frame(2, 0, 1, std::string("\0\0\0\0\1", 5)) +
              Frame(7, 0, 0, std::string("\0\0\0\1\0\0\0\0", 8))};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const size_t piece = 1 + (data[0] & 0x7f);
  const std::string all =
      std::string(kPreface).append(reinterpret_cast<const char*>(data) + 1, size - 1);
  Owner owner;
  OutputQueue output;
  Http2Session session(kLimits, owner, output);
  int64_t now = 0;
  bool alive = true;
  for (std::string_view bytes = all; alive && !bytes.empty();) {
    alive = session.Receive(bytes.substr(0, piece), now += 1'000'000);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    if (!alive) break;
    for (const auto& [id, request] : owner.streams) Serve(session, *request);
    alive = session.Send(1 << 20);
    output.Clear();
  }
  FuzzExpect(alive || session.refusal().has_value() || session.ended(), "an end has its reason");
  return 0;
}
