#include "common/http/server/arrival.h"

#include <string_view>
#include <utility>

#include "common/http/server/http1_connection.h"
#include "common/http/server/http2_connection.h"

namespace slipway::http {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kFirstRead = 2 << 10;

}  // namespace

void Arrival::Start() { Wait(); }

void Arrival::Wait() {
  opened_.transport.WaitReadable(
      [self = shared_from_this()](const boost::system::error_code& error) {
        self->OnReadable(error);
      });
}

void Arrival::OnReadable(const boost::system::error_code& error) {
  if (gone_) return;
  if (error) return Close();
  if (!greeted_) {
    switch (opened_.transport.Handshake()) {
      case Transport::Result::kOk:
        greeted_ = true;
        break;
      case Transport::Result::kWouldBlock:
        return Wait();
      case Transport::Result::kEnded:
      case Transport::Result::kBroken:
        opened_.loop->core().CountRefusal(Refusal::kTlsHandshake);
        return Close();
    }
  }
  InputBuffer& input = opened_.input;
  const auto [space, size] = input.Prepare(kFirstRead);
  size_t bytes = 0;
  switch (opened_.transport.Read(space, size, bytes)) {
    case Transport::Result::kOk:
      break;
    case Transport::Result::kWouldBlock:
      return Wait();
    case Transport::Result::kEnded:
    case Transport::Result::kBroken:
      return Close();
  }
  input.Commit(bytes);
  opened_.loop->core().bytes_read.fetch_add(bytes, std::memory_order_relaxed);
  const std::string_view begin = input.view().substr(0, kPreface.size());
  if (!kPreface.starts_with(begin)) {
    Become<Http1Connection>();
  } else if (begin.size() == kPreface.size()) {
    Become<Http2Connection>();
  } else {
    Wait();
  }
}

template <typename Protocol>
void Arrival::Become() {
  gone_ = true;
  const std::shared_ptr<ServerLoop> loop = opened_.loop;
  const auto connection = std::make_shared<Protocol>(std::move(opened_));
  loop->Add(connection);
  connection->Start();
  loop->Remove(*this);
}

void Arrival::CheckDeadlines(int64_t now) {
  if (now < opened_.deadline) return;
  opened_.loop->core().CountRefusal(Refusal::kHeaderTimeout);
  Close();
}

void Arrival::CloseIfIdle() {
  if (opened_.input.empty() && !opened_.transport.HasUnread()) Close();
}

int Arrival::Abort() {
  Close();
  return 0;
}

void Arrival::Close() {
  if (gone_) return;
  gone_ = true;
  opened_.transport.Close(/*reset=*/false);
  opened_.loop->core().connections.Release(opened_.peer);
  opened_.loop->Remove(*this);
}

}  // namespace slipway::http
