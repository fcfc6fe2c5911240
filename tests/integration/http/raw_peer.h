#ifndef SLIPWAY_TESTS_INTEGRATION_HTTP_RAW_PEER_H_
#define SLIPWAY_TESTS_INTEGRATION_HTTP_RAW_PEER_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/http/message.h"

namespace slipway::http {

/// The other side of a server under test: a plain socket that sends exactly the bytes it is told
/// to, well formed or not. One thread at a time.
class RawPeer {
 public:
  /// `address` as Server::address() gives it. Aborts the test program when it cannot connect.
  explicit RawPeer(const std::string& address);
  ~RawPeer();
  RawPeer(const RawPeer&) = delete;
  RawPeer& operator=(const RawPeer&) = delete;

  /// Whether anyone listens there.
  static bool CanConnect(const std::string& address);

  /// False when the server's end is gone.
  bool Send(std::string_view bytes);

  /// As much as the socket takes without waiting.
  size_t SendWithoutWaiting(std::string_view bytes);

  struct Answer {
    int status = 0;
    std::string status_line;
    Headers headers;
    std::string body;
    Headers trailers;
    bool complete = false;  // the body is all that its framing announced
  };

  /// Reads one answer; `to_head` for one that has no body whatever it says. An answer cut short
  /// has complete = false, one that never began has status 0.
  Answer Read(bool to_head = false);

  /// Sends a request and reads its answer.
  Answer Ask(std::string_view request) {
    Send(request);
    return Read();
  }

  /// What comes next, at least a byte; "" at the end of the connection.
  std::string ReadSome();

  /// Everything until the server ends the connection.
  std::string ReadToEnd();
  /// The same without keeping it: how many bytes that was.
  uint64_t CountToEnd();

  /// True when the server ends the connection (or has) within the time, whatever it sends first.
  bool IsClosedWithin(std::chrono::milliseconds time);

  /// True when nothing comes for that long and the connection stays.
  bool IsQuietFor(std::chrono::milliseconds time);

  void CloseSending();
  void Close();
  /// Closes so that the server sees a reset.
  void Reset();
  void ShrinkReceiveBuffer();

  /// TCP segments with data that came so far.
  int DataSegmentsReceived() const;

 private:
  static int Connect(const std::string& address);
  bool WaitReadable(std::chrono::milliseconds time) const;
  bool Fill();  // one read into buffer_; false at the end
  std::optional<std::string> TakeLine();
  bool TakeBytes(size_t count, std::string& out);

  int socket_ = -1;
  std::string buffer_;
  bool ended_ = false;
};

}  // namespace slipway::http

#endif  // SLIPWAY_TESTS_INTEGRATION_HTTP_RAW_PEER_H_
