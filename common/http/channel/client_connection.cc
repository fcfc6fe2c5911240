#include "common/http/channel/client_connection.h"

#include <array>
#include <utility>

namespace slipway::http::grpc {
namespace {

// One read takes so much; a connection keeps no buffer of its own.
constexpr size_t kReadBytes = 64 << 10;
// Frames are made until so much waits for the socket.
constexpr uint64_t kEnoughOutput = 256 << 10;

absl::Status Broken() { return absl::UnavailableError("the connection broke"); }

}  // namespace

ClientConnection::ClientConnection(IoLoop& loop, Transport transport, bool tls,
                                   std::string authority, Owner& owner)
    : loop_(loop),
      owner_(owner),
      transport_(std::move(transport)),
      session_(tls, std::move(authority), owner, output_) {}

void ClientConnection::Start() {
  Flush();
  WaitReadable();
}

void ClientConnection::Close() {
  closed_ = true;
  transport_.Close(/*reset=*/false);
}

void ClientConnection::WaitReadable() {
  transport_.WaitReadable([self = shared_from_this()](const boost::system::error_code& error) {
    self->OnReadable(error);
  });
}

void ClientConnection::OnReadable(const boost::system::error_code& error) {
  static thread_local std::array<char, kReadBytes> buffer;
  if (closed_) return;
  size_t bytes = 0;
  switch (error ? Transport::Result::kBroken
                : transport_.Read(buffer.data(), buffer.size(), bytes)) {
    case Transport::Result::kOk:
      ++reads_;
      if (!session_.Receive({buffer.data(), bytes})) {
        return Lose(absl::InternalError("the server does not keep to HTTP/2"));
      }
      break;
    case Transport::Result::kWouldBlock:
      break;
    case Transport::Result::kEnded:
    case Transport::Result::kBroken:
      return Lose(Broken());
  }
  if (session_.wants_send() || session_.ended()) Flush();
  WaitReadable();
  owner_.OnTurn();
}

void ClientConnection::Flush() {
  if (flushing_ || writing_ || closed_) return;
  flushing_ = true;
  loop_.Post([self = shared_from_this()] {
    self->flushing_ = false;
    if (!self->closed_) self->Send();
  });
}

void ClientConnection::Send() {
  for (bool more = true; more;) {
    if (!session_.Send(kEnoughOutput)) return Lose(Broken());
    more = output_.size() >= kEnoughOutput;
    switch (output_.Send(transport_)) {
      case OutputQueue::Result::kAllSent:
        break;
      case OutputQueue::Result::kFull:
        writing_ = true;
        transport_.WaitWritable(
            [self = shared_from_this()](const boost::system::error_code& error) {
              self->writing_ = false;
              if (self->closed_) return;
              error ? self->Lose(Broken()) : self->Send();
            });
        return;
      case OutputQueue::Result::kBroken:
        return Lose(Broken());
    }
  }
  if (session_.ended()) return Lose(Broken());
  owner_.OnTurn();
}

void ClientConnection::Lose(const absl::Status& why) {
  const auto self = shared_from_this();
  Close();
  owner_.OnLost(*this, why);
}

}  // namespace slipway::http::grpc
