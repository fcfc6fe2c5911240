#include "common/http/server/http2_frame_meter.h"

#include <algorithm>

namespace slipway::http {
namespace {

// RFC 9113, 6.
constexpr uint8_t kData = 0;
constexpr uint8_t kHeaders = 1;
constexpr uint8_t kResetStream = 3;
constexpr uint8_t kContinuation = 9;
constexpr uint8_t kEndStream = 0x1;
constexpr uint8_t kEndHeaders = 0x4;

}  // namespace

Http2FrameMeter::Verdict Http2FrameMeter::Take(std::string_view bytes, int64_t now) {
  while (!bytes.empty()) {
    if (left_ > 0) {
      const size_t here = std::min<size_t>(left_, bytes.size());
      left_ -= static_cast<uint32_t>(here);
      bytes.remove_prefix(here);
      continue;
    }
    const size_t here = std::min(kFrameHeaderBytes - header_bytes_, bytes.size());
    std::copy_n(bytes.data(), here, header_ + header_bytes_);
    header_bytes_ += here;
    bytes.remove_prefix(here);
    if (header_bytes_ < kFrameHeaderBytes) break;
    header_bytes_ = 0;
    if (const Verdict verdict = BeginFrame(now); verdict != Verdict::kOk) return verdict;
  }
  return Verdict::kOk;
}

Http2FrameMeter::Verdict Http2FrameMeter::BeginFrame(int64_t now) {
  left_ = uint32_t{header_[0]} << 16 | uint32_t{header_[1]} << 8 | header_[2];
  const uint8_t type = header_[3];
  const uint8_t flags = header_[4];
  is_data_ = type == kData;
  if (type != kContinuation) ++frames_begun_;
  switch (type) {
    case kHeaders:
    case kContinuation:
      if (type == kHeaders) block_bytes_ = continuations_ = 0;
      if (type == kContinuation) ++continuations_;
      block_bytes_ += left_;
      block_open_ = (flags & kEndHeaders) == 0;
      return block_bytes_ > max_block_bytes_ || continuations_ > kMaxContinuations
                 ? Verdict::kHeaderTooLarge
                 : Verdict::kOk;
    case kData:
      if (left_ > 0 || (flags & kEndStream) != 0) return Verdict::kOk;
      break;
    case kResetStream:
      return resets_.Spend(now) ? Verdict::kOk : Verdict::kTooManyResets;
    default:
      break;
  }
  return frames_.Spend(now) ? Verdict::kOk : Verdict::kFlood;
}

}  // namespace slipway::http
