#include "tests/integration/http/scripted_server.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <utility>

#include "common/http/grpc/frames.h"

namespace slipway::http {

ScriptedConnection::~ScriptedConnection() { ::close(socket_); }

bool ScriptedConnection::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void ScriptedConnection::SendSettings(
    std::initializer_list<std::pair<uint16_t, uint32_t>> entries) {
  std::string payload;
  for (const auto& [number, value] : entries) {
    payload += static_cast<char>(number >> 8);
    payload += static_cast<char>(number & 0xff);
    payload += Http2Peer::Number(value);
  }
  Send(Http2Peer::Make(Http2Peer::kSettings, 0, 0, payload));
}

void ScriptedConnection::SendAnswer(uint32_t stream, std::string_view message) {
  const Headers head = {{":status", "200"}, {"content-type", "application/grpc"}};
  const Headers trailers = {{"grpc-status", "0"}};
  Send(
      Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, stream, Http2Peer::Block(head)) +
      Http2Peer::Make(Http2Peer::kData, 0, stream, Framed(message)) +
      Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders | Http2Peer::kEndStream, stream,
                      Http2Peer::Block(trailers)));
}

bool ScriptedConnection::Need(size_t bytes) {
  while (buffer_.size() < bytes) {
    char space[64 << 10];
    const ssize_t got = ::recv(socket_, space, sizeof(space), 0);
    if (got <= 0) return false;
    buffer_.append(space, static_cast<size_t>(got));
  }
  return true;
}

ScriptedConnection::Frame ScriptedConnection::Read() {
  if (!std::exchange(begun_, true)) {
    if (!Need(Http2Peer::kPreface.size())) return {};
    if (!buffer_.starts_with(Http2Peer::kPreface)) std::abort();
    buffer_.erase(0, Http2Peer::kPreface.size());
  }
  constexpr size_t kHead = 9;
  for (;;) {
    if (!Need(kHead)) return {};
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(buffer_[i]); };
    const size_t size = (size_t{byte(0)} << 16) | (size_t{byte(1)} << 8) | byte(2);
    if (!Need(kHead + size)) return {};
    Frame frame;
    frame.type = byte(3);
    frame.flags = byte(4);
    for (size_t i = 5; i < kHead; ++i) frame.stream = (frame.stream << 8) | byte(i);
    frame.payload = buffer_.substr(kHead, size);
    buffer_.erase(0, kHead + size);
    const bool settings = frame.type == Http2Peer::kSettings;
    if (!settings || (frame.flags & Http2Peer::kAck) == 0) return frame;
  }
}

ScriptedConnection::Frame ScriptedConnection::ReadUntil(uint8_t type) {
  Frame frame = Read();
  while (!frame.ended() && frame.type != type) frame = Read();
  return frame;
}

std::string ScriptedConnection::ReadBody(uint32_t stream) {
  std::string body;
  for (Frame frame = Read(); !frame.ended(); frame = Read()) {
    if (frame.type != Http2Peer::kData || frame.stream != stream) continue;
    body += frame.payload;
    if ((frame.flags & Http2Peer::kEndStream) != 0) break;
  }
  return body;
}

ScriptedServer::ScriptedServer(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::strncpy(name.sun_path, path.c_str(), sizeof(name.sun_path) - 1);
  socket_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ::unlink(path.c_str());
  if (::bind(socket_, reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0 ||
      ::listen(socket_, 16) != 0) {
    std::abort();
  }
}

ScriptedServer::~ScriptedServer() { ::close(socket_); }

std::unique_ptr<ScriptedConnection> ScriptedServer::Accept() {
  const int socket = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
  if (socket < 0) std::abort();
  return std::make_unique<ScriptedConnection>(socket);
}

std::unique_ptr<ScriptedConnection> ScriptedServer::AcceptReady() {
  auto connection = Accept();
  connection->ReadUntil(Http2Peer::kSettings);
  connection->SendSettings();
  return connection;
}

std::string Framed(std::string_view message) {
  const auto header = grpc::FrameHeader(message.size());
  return std::string(header.begin(), header.end()).append(message);
}

}  // namespace slipway::http
