#ifndef SLIPWAY_COMMON_HTTP_SERVER_HTTP2_FRAME_METER_H_
#define SLIPWAY_COMMON_HTTP_SERVER_HTTP2_FRAME_METER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "common/http/server/allowance.h"

namespace slipway::http {

/// Reads the frame headers in what an HTTP/2 peer sends, ahead of the parser, and counts what the
/// peer makes a server do for nothing:
///   - header blocks that are long, or come in many CONTINUATION frames (CVE-2024-27316);
///   - RST_STREAM frames (CVE-2023-44487);
///   - frames that carry nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown
///     types (CVE-2019-9511 to 9518).
/// The last two cost an allowance that answers earn back. One thread at a time.
class Http2FrameMeter {
 public:
  enum class Verdict { kOk, kHeaderTooLarge, kTooManyResets, kFlood };

  /// A header block may have `max_block_bytes`, compressed as it comes, in nine frames.
  explicit Http2FrameMeter(size_t max_block_bytes) : max_block_bytes_(max_block_bytes) {}

  /// `bytes` follow those of earlier calls, the first of which came behind the preface. `now` in
  /// monotonic nanoseconds.
  Verdict Take(std::string_view bytes, int64_t now);

  /// A stream ended before its answer by the peer's fault, without a RST_STREAM of its own
  /// (CVE-2025-8671). False when that was too often.
  bool SpendReset(int64_t now) { return resets_.Spend(now); }

  /// An answer was sent, or a piece of one.
  void EarnAnswer() { resets_.Earn(1); }
  void EarnFrames() { frames_.Earn(kFramesAnAnswer); }

  /// Which header block or other frame without a body has begun, where its end has not come: a
  /// number that the next one does not have.
  std::optional<uint64_t> unfinished() const {
    const bool unfinished = block_open_ || header_bytes_ > 0 || (left_ > 0 && !is_data_);
    return unfinished ? std::optional(frames_begun_) : std::nullopt;
  }

 private:
  // What a client may answer a frame of ours with: WINDOW_UPDATE for stream and connection, PING.
  static constexpr int64_t kFramesAnAnswer = 4;
  static constexpr size_t kFrameHeaderBytes = 9;
  static constexpr int kMaxContinuations = 8;

  Verdict BeginFrame(int64_t now);

  const size_t max_block_bytes_;
  Allowance frames_{1000, 100};
  Allowance resets_{1000, 100};

  unsigned char header_[kFrameHeaderBytes] = {};
  size_t header_bytes_ = 0;  // of a frame's header that has not come to its end
  uint32_t left_ = 0;        // of the frame's payload
  bool is_data_ = false;
  uint64_t frames_begun_ = 0;  // a header block with all its CONTINUATION frames is one
  bool block_open_ = false;
  size_t block_bytes_ = 0;
  int continuations_ = 0;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_HTTP2_FRAME_METER_H_
