#ifndef SLIPWAY_TESTS_INTEGRATION_HTTP_SCRIPTED_SERVER_H_
#define SLIPWAY_TESTS_INTEGRATION_HTTP_SCRIPTED_SERVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "tests/integration/http/http2_peer.h"

namespace slipway::http {

/// The server's end of an HTTP/2 connection, frame by frame, so that a test can send what no
/// server would. One thread.
class ScriptedConnection {
 public:
  using Frame = Http2Peer::Frame;

  explicit ScriptedConnection(int socket) : socket_(socket) {}
  ~ScriptedConnection();
  ScriptedConnection(const ScriptedConnection&) = delete;
  ScriptedConnection& operator=(const ScriptedConnection&) = delete;

  bool Send(std::string_view bytes);
  /// SETTINGS, each entry a number and its value.
  void SendSettings(std::initializer_list<std::pair<uint16_t, uint32_t>> entries = {});
  /// A whole answer to a call: head, message in its frame, OK.
  void SendAnswer(uint32_t stream, std::string_view message);

  /// The next frame behind the preface; acknowledgements are passed over.
  Frame Read();
  /// The next one of that type; others are passed over. Ended where the connection is.
  Frame ReadUntil(uint8_t type);
  /// To the end of a request's body: its bytes.
  std::string ReadBody(uint32_t stream);

 private:
  bool Need(size_t bytes);

  const int socket_;
  std::string buffer_;
  bool begun_ = false;
};

/// Listens on a Unix socket.
class ScriptedServer {
 public:
  explicit ScriptedServer(const std::string& path);
  ~ScriptedServer();

  std::unique_ptr<ScriptedConnection> Accept();
  /// With the greetings exchanged.
  std::unique_ptr<ScriptedConnection> AcceptReady();

 private:
  int socket_ = -1;
};

/// A message in its frame.
std::string Framed(std::string_view message);

}  // namespace slipway::http

#endif  // SLIPWAY_TESTS_INTEGRATION_HTTP_SCRIPTED_SERVER_H_
