// The client's side of HTTP/2: whatever a server sends, a call ends once, with a message within its
// limit or an error.

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "common/http/channel/client_session.h"
#include "common/http/grpc/frames.h"
#include "tests/fuzz/fuzz.h"

namespace {

using slipway::http::OutputQueue;
using slipway::http::grpc::ClientSession;
using slipway::http::grpc::Outcome;

constexpr uint64_t kLimit = 1 << 12;
constexpr int kCalls = 3;

struct Call final : ClientSession::Stream {
  Call() : Stream(absl::Cord("question"), kLimit) {}
  int ends = 0;
};

class Owner final : public ClientSession::Owner {
 public:
  void OnReady() override {}
  void OnGoAway() override {}
  void OnEnd(ClientSession::Stream& stream, Outcome outcome) override {
    slipway::FuzzExpect(++static_cast<Call&>(stream).ends == 1, "a call ends once");
    slipway::FuzzExpect(!outcome.status.ok() || outcome.message.size() <= kLimit,
                        "a message is within its limit");
    slipway::FuzzExpect(!outcome.never_sent || !outcome.status.ok(),
                        "what is answered has been sent");
  }
};

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

std::string Answer(char stream, std::string_view message, std::string_view code) {
  const auto header = slipway::http::grpc::FrameHeader(message.size());
  return Frame(1, 4, stream, Field(":status", "200")) +
         Frame(0, 0, stream, std::string(header.begin(), header.end()).append(message)) +
         Frame(1, 5, stream, Field("grpc-status", code) + Field("grpc-message", "a%20b"));
}

}  // namespace

std::vector<std::string> slipway::FuzzSeeds() {
  const std::string settings = Frame(4, 0, 0, "");
  // The first byte: the size of the pieces.
  return {"\x20" + settings + Answer(1, "one", "0") + Answer(3, "", "5") + Answer(5, "three", "0"),
          "\x07" + settings + Frame(7, 0, 0, std::string("\0\0\0\1\0\0\0\0", 8)) +
              Frame(3, 0, 1, std::string("\0\0\0\7", 4)),
          "\x40" + Frame(4, 0, 0, std::string("\0\3\0\0\0\1\0\4\0\0\0\2", 12)) +
              Frame(8, 0, 1, std::string("\0\0\0\5", 4)) + Answer(1, std::string(200, 'x'), "0")};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece = 1 + (data[0] & 0x7f);
  Owner owner;
  OutputQueue output;
  ClientSession session(/*tls=*/false, "localhost", owner, output);
  int begun = 0;
  bool alive = true;
  while (alive && !bytes.empty()) {
    alive = session.Receive(bytes.substr(0, piece));
    bytes.remove_prefix(std::min(piece, bytes.size()));
    while (alive && begun < kCalls && session.HasRoom()) {
      session.Begin(std::make_shared<Call>(), {.method = "/a/b", .metadata = {}, .timeout = ""});
      ++begun;
    }
    alive = alive && session.Send(1 << 20);
    output.Clear();
  }
  for (const auto& stream : session.streams()) {
    slipway::FuzzExpect(static_cast<const Call&>(*stream).ends == 0, "what has ended is forgotten");
  }
  return 0;
}
