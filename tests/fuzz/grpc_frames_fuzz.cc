// gRPC's frames: a body that comes in any pieces has the same messages as one that comes whole, and
// none is larger than the limit.

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/http/grpc/frames.h"
#include "tests/fuzz/fuzz.h"

namespace {

namespace wire = slipway::http::grpc;
using slipway::http::Coding;

constexpr uint64_t kLimit = 1 << 16;

struct Result {
  std::vector<std::string> messages;
  bool ok = true;
  bool operator==(const Result&) const = default;
};

Result Read(std::string_view body, size_t piece, Coding coding) {
  wire::FrameReader reader(coding, kLimit);
  Result result;
  while (!body.empty()) {
    reader.Append(std::string(body.substr(0, piece)));
    body.remove_prefix(std::min(piece, body.size()));
    for (;;) {
      auto message = reader.Next();
      if (!message.ok()) {
        result.ok = false;
        return result;
      }
      if (!*message) break;
      slipway::FuzzExpect((*message)->view().size() <= kLimit, "a message is within its limit");
      result.messages.emplace_back((*message)->view());
    }
  }
  result.ok = reader.End().ok();
  return result;
}

std::string Frame(const std::string& message, char flag = 0) {
  std::string frame = wire::BeginFrame(message.size());
  frame += message;
  wire::EndFrame(frame);
  frame[0] = flag;
  return frame;
}

}  // namespace

std::vector<std::string> slipway::FuzzSeeds() {
  // The first byte: the coding and the size of the pieces. zlib's own empty stream comes last.
  const std::string empty("\x78\x9c\x03\x00\x00\x00\x00\x01", 8);
  return {std::string("\x07", 1) + Frame("one") + Frame("") + Frame(std::string(300, 'x')),
          std::string("\x80", 1) + Frame(empty, 1) + Frame("plain"), std::string("\x01", 1)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Coding coding = (data[0] & 0x80) != 0   ? Coding::kDeflate
                        : (data[0] & 0x40) != 0 ? Coding::kGzip
                                                : Coding::kIdentity;
  const Result whole = Read(body, std::max<size_t>(1, body.size()), coding);
  const Result pieces = Read(body, 1 + (data[0] & 0x3f), coding);
  slipway::FuzzExpect(whole == pieces, "messages do not depend on how the body comes");
  const auto only = wire::OnlyMessage(std::string(body), coding, kLimit);
  slipway::FuzzExpect(only.ok() == (whole.ok && whole.messages.size() == 1),
                      "a body with one message is a body with one message");
  if (only.ok()) {
    slipway::FuzzExpect(only->view() == whole.messages[0], "and it is the same message");
  }
  return 0;
}
