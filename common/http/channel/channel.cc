#include "common/http/channel/channel.h"

#include <utility>

#include "common/http/channel/lane.h"
#include "common/http/io/io_loop.h"
#include "common/http/io/io_threads.h"

namespace slipway::http::grpc {

absl::StatusOr<std::unique_ptr<Channel>> Channel::Open(ChannelOptions options, IoThreads& threads) {
  std::unique_ptr<Channel> channel(new Channel(std::make_shared<Shared>(std::move(options))));
  const ChannelOptions& shared = channel->shared_->options;
  for (const std::shared_ptr<IoLoop>& loop : threads.loops()) {
    std::unique_ptr<ClientTls> tls;
    if (shared.unix_path.empty()) {
      ASSIGN_OR_RETURN(tls, ClientTls::Load(shared.tls));
    }
    channel->lanes_.push_back(std::make_shared<Lane>(channel->shared_, loop, std::move(tls)));
  }
  for (const std::shared_ptr<Lane>& lane : channel->lanes_) lane->Open();
  return channel;
}

Channel::~Channel() {
  for (const std::shared_ptr<Lane>& lane : lanes_) lane->Close();
}

std::shared_ptr<ClientCall> Channel::Start(Request request, Done done) {
  const IoLoop* const here = IoLoop::Current();
  for (const std::shared_ptr<Lane>& lane : lanes_) {
    if (&lane->loop() == here) return lane->Start(std::move(request), std::move(done));
  }
  const size_t next = next_lane_.fetch_add(1, std::memory_order_relaxed);
  return lanes_[next % lanes_.size()]->Start(std::move(request), std::move(done));
}

}  // namespace slipway::http::grpc
