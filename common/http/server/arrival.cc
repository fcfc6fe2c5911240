#include "common/http/server/arrival.h"

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/http/server/http1_connection.h"
#include "common/http/server/http2_connection.h"
#include "common/http/server/proxy_header.h"

namespace slipway::http {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr size_t kFirstRead = 2 << 10;

}  // namespace

Arrival::Step Arrival::After(Transport::Result result) {
  switch (result) {
    case Transport::Result::kOk:
      return Step::kDone;
    case Transport::Result::kWouldBlock:
      return Step::kWait;
    case Transport::Result::kEnded:
    case Transport::Result::kBroken:
      break;
  }
  return Step::kClose;
}

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
  Step step = Step::kDone;
  if (!introduced_) {
    step = Introduce();
    introduced_ = step == Step::kDone;
  }
  if (introduced_ && !greeted_) {
    step = Greet();
    greeted_ = step == Step::kDone;
  }
  InputBuffer& input = opened_.input;
  size_t bytes = 0;
  if (step == Step::kDone) {
    const auto [space, size] = input.Prepare(kFirstRead);
    step = After(opened_.transport.Read(space, size, bytes));
  }
  if (step == Step::kWait) return Wait();
  if (step == Step::kClose) return Close();
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

// Takes the header that a trusted proxy may begin with, and not a byte more: what follows may be
// TLS, which reads the socket by itself.
Arrival::Step Arrival::Introduce() {
  InputBuffer& input = opened_.input;
  ServerCore& core = opened_.loop->core();
  if (input.empty()) {
    char first = 0;
    size_t bytes = 0;
    const Transport::Result peeked = opened_.transport.ReadAhead(&first, 1, bytes, /*peek=*/true);
    if (peeked != Transport::Result::kOk) return After(peeked);
    if (first != kProxySignature[0]) return Step::kDone;
  }
  ProxyHeader header = ReadProxyHeader(input.view());
  while (header.result == ProxyHeader::Result::kMore) {
    char* const space = input.Prepare(header.size).first;
    size_t bytes = 0;
    const Transport::Result read =
        opened_.transport.ReadAhead(space, header.size - input.size(), bytes);
    if (read != Transport::Result::kOk) return After(read);
    input.Commit(bytes);
    core.bytes_read.fetch_add(bytes, std::memory_order_relaxed);
    header = ReadProxyHeader(input.view());
  }
  if (header.result == ProxyHeader::Result::kNone) return Step::kDone;
  std::optional<Refusal> refused;
  if (header.result == ProxyHeader::Result::kMalformed) {
    refused = Refusal::kMalformed;
  } else if (header.source) {
    std::string caller = header.source->ToString();
    refused = core.connections.Rename(opened_.peer, caller, core.options);
    if (!refused) opened_.peer = std::move(caller);
    opened_.from_proxy = core.options.trusted_proxies.Contain(opened_.peer);
  }
  if (refused) {
    core.CountRefusal(*refused);
    return Step::kClose;
  }
  input.Consume(header.size);
  return Step::kDone;
}

// Does TLS's handshake, if any.
Arrival::Step Arrival::Greet() {
  const Transport::Result result = opened_.transport.Handshake();
  if (result == Transport::Result::kOk) return Step::kDone;
  const Step step = After(result);
  if (step == Step::kClose) opened_.loop->core().CountRefusal(Refusal::kTlsHandshake);
  return step;
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
