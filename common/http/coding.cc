#include "common/http/coding.h"

#include <zlib.h>

#include <algorithm>
#include <cstdlib>

#include "common/http/message.h"

namespace slipway::http {
namespace {

constexpr size_t kPiece = 64 << 10;
constexpr int kWindowBits = 15;
constexpr int kGzipFormat = 16;  // added to the window's bits

constexpr int kFastest = 1;
constexpr int kUsualMemory = 8;

int WindowBits(Coding coding) {
  return coding == Coding::kGzip ? kWindowBits + kGzipFormat : kWindowBits;
}

std::string_view Trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// "q=0", "q=0.000"
bool IsRefused(std::string_view parameters) {
  parameters = Trimmed(parameters);
  return (parameters.starts_with("q=0") || parameters.starts_with("Q=0")) &&
         parameters.find_first_not_of(".0", 3) == std::string_view::npos;
}

// An inflater, freed at the end of its scope.
class Inflater {
 public:
  explicit Inflater(Coding coding) {
    ready_ = ::inflateInit2(&stream_, WindowBits(coding)) == Z_OK;
  }
  ~Inflater() {
    if (ready_) ::inflateEnd(&stream_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  bool ready() const { return ready_; }
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_ = {};
  bool ready_;
};

absl::Status Broken() {
  return absl::InvalidArgumentError("the body is not compressed as its encoding says");
}

}  // namespace

std::optional<Coding> ParseCoding(std::string_view name) {
  if (EqualsIgnoringCase(name, "identity")) return Coding::kIdentity;
  if (EqualsIgnoringCase(name, "gzip")) return Coding::kGzip;
  if (EqualsIgnoringCase(name, "deflate")) return Coding::kDeflate;
  return std::nullopt;
}

std::string_view CodingName(Coding coding) {
  switch (coding) {
    case Coding::kGzip:
      return "gzip";
    case Coding::kDeflate:
      return "deflate";
    case Coding::kIdentity:
      break;
  }
  return "identity";
}

Coding ChooseCoding(std::string_view accept_encoding) {
  Coding best = Coding::kIdentity;
  while (!accept_encoding.empty()) {
    const size_t comma = std::min(accept_encoding.find(','), accept_encoding.size());
    const std::string_view item = accept_encoding.substr(0, comma);
    accept_encoding.remove_prefix(std::min(comma + 1, accept_encoding.size()));
    const size_t mark = item.find(';');
    if (mark != std::string_view::npos && IsRefused(item.substr(mark + 1))) continue;
    const std::optional<Coding> coding = ParseCoding(Trimmed(item.substr(0, mark)));
    if (coding == Coding::kGzip) return Coding::kGzip;
    if (coding == Coding::kDeflate) best = Coding::kDeflate;
  }
  return best;
}

absl::StatusOr<std::string> Decode(Coding coding, std::string_view bytes,
                                   const DecodeLimits& limits) {
  const uint64_t by_ratio =
      std::max<uint64_t>(limits.free_bytes, static_cast<uint64_t>(bytes.size()) * limits.max_ratio);
  const uint64_t limit = std::min(limits.max_bytes, by_ratio);
  if (coding == Coding::kIdentity) {
    if (bytes.size() > limits.max_bytes) return TooLarge("the body", limits.max_bytes);
    return std::string(bytes);
  }
  Inflater inflater(coding);
  if (!inflater.ready()) return absl::ResourceExhaustedError("no memory to decompress with");
  z_stream& stream = inflater.stream();
  std::string out;
  size_t used = 0;
  for (;;) {
    if (used == out.size()) {
      // One byte over the limit shows that there is more.
      if (used > limit) return TooLarge("the decompressed body", limit);
      out.resize(std::min<uint64_t>(std::max(kPiece, 2 * used), limit + 1));
    }
    // zlib counts in 32 bits.
    const size_t in = std::min<size_t>(bytes.size(), 1 << 30);
    const size_t room = std::min<size_t>(out.size() - used, 1 << 30);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(room);
    const int result = ::inflate(&stream, Z_NO_FLUSH);
    bytes.remove_prefix(in - stream.avail_in);
    used += room - stream.avail_out;
    if (used > limit) return TooLarge("the decompressed body", limit);
    if (result == Z_STREAM_END) {
      if (bytes.empty()) break;
      // Another member of the same file.
      if (coding != Coding::kGzip || ::inflateReset(&stream) != Z_OK) return Broken();
      continue;
    }
    // Z_BUF_ERROR: more room is needed, or more bytes, which there are not.
    if (result != Z_OK && result != Z_BUF_ERROR) return Broken();
    if (bytes.empty() && used < out.size()) return Broken();
  }
  out.resize(used);
  return out;
}

std::string Encode(Coding coding, std::string_view bytes) {
  if (coding == Coding::kIdentity) return std::string(bytes);
  z_stream stream = {};
  if (::deflateInit2(&stream, kFastest, Z_DEFLATED, WindowBits(coding), kUsualMemory,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
    std::abort();
  }
  std::string out(::deflateBound(&stream, bytes.size()), '\0');
  // zlib counts in 32 bits.
  size_t used = 0;
  int result = Z_OK;
  while (result == Z_OK) {
    const size_t in = std::min<size_t>(bytes.size(), 1 << 30);
    const size_t room = std::min<size_t>(out.size() - used, 1 << 30);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = static_cast<uInt>(room);
    result = ::deflate(&stream, in == bytes.size() ? Z_FINISH : Z_NO_FLUSH);
    bytes.remove_prefix(in - stream.avail_in);
    used += room - stream.avail_out;
  }
  ::deflateEnd(&stream);
  if (result != Z_STREAM_END) std::abort();
  out.resize(used);
  return out;
}

}  // namespace slipway::http
