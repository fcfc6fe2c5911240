#ifndef SLIPWAY_COMMON_HTTP_CHANNEL_LANE_H_
#define SLIPWAY_COMMON_HTTP_CHANNEL_LANE_H_

#include <cstdint>
#include <limits>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "common/http/channel/channel.h"
#include "common/http/channel/client_connection.h"
#include "common/http/channel/dialer.h"
#include "common/http/io/client_tls.h"
#include "common/http/io/io_loop.h"

namespace slipway::http::grpc {

/// A channel on one I/O loop: the connection that takes calls, those that only finish theirs, and
/// the calls that wait for one. On the loop's thread, but where said.
///
/// A call waits (in waiting_) until the connection has room; is a stream of that connection; and
/// ends, at which its `done` becomes due. Due ones run last in each turn, so that none runs inside
/// a call of the user's or the session's.
class Lane final : public std::enable_shared_from_this<Lane>, private ClientConnection::Owner {
 public:
  Lane(std::shared_ptr<Channel::Shared> channel, std::shared_ptr<IoLoop> loop,
       std::unique_ptr<ClientTls> tls);

  const IoLoop& loop() const { return *loop_; }

  /// Connects. Any thread.
  void Open();
  /// Ends all. Any thread.
  void Close();
  /// Any thread; `done` is not called inside it.
  std::shared_ptr<ClientCall> Start(Channel::Request request, Channel::Done done);

 private:
  struct LaneCall;
  static constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

  // What the connection tells.
  void OnReady() override;
  void OnGoAway() override { Retire(); }
  void OnEnd(ClientSession::Stream& stream, Outcome outcome) override;
  void OnTurn() override;
  void OnLost(ClientConnection& connection, const absl::Status& why) override;

  void CloseNow();
  void Take(std::shared_ptr<LaneCall> call);
  void Dial();
  void OnDialled(absl::StatusOr<Transport> transport);
  /// The attempt to connect has failed, and so have those who waited for it.
  void FailAttempt(const absl::Status& why);
  /// The connection takes no more calls.
  void Retire();
  void BeginWaiting();
  void Begin(std::shared_ptr<LaneCall> call);
  /// Ends a call early.
  void Drop(LaneCall& call, absl::Status why);
  void End(LaneCall& call, Outcome outcome);
  void RunDue();

  int64_t Now() const;
  void WakeAt(int64_t time);
  void OnTimer();
  /// Returns the next deadline.
  int64_t CheckDeadlines(int64_t now);
  /// The peer is alive: it is not asked for a while.
  void HeardFrom();
  void CheckAlive(int64_t now);

  const std::shared_ptr<Channel::Shared> channel_;
  const ChannelOptions& options_;
  const std::shared_ptr<IoLoop> loop_;
  const std::unique_ptr<ClientTls> tls_;

  bool closed_ = false;
  std::shared_ptr<Dialer> dialer_;                // while there is no connection
  std::shared_ptr<ClientConnection> connection_;  // takes calls once it is ready
  bool ready_ = false;
  std::vector<std::shared_ptr<ClientConnection>> leaving_;
  std::list<std::shared_ptr<LaneCall>> waiting_;
  std::vector<std::pair<Channel::Done, Outcome>> due_;

  absl::Duration backoff_;
  int64_t attempt_ends_ = kNever;
  int64_t next_attempt_ = kNever;
  int64_t next_check_ = kNever;  // whether the peer is alive
  uint64_t reads_then_ = 0;
  bool pinged_ = false;
  boost::asio::steady_timer timer_;
  int64_t wake_at_ = kNever;
};

}  // namespace slipway::http::grpc

#endif  // SLIPWAY_COMMON_HTTP_CHANNEL_LANE_H_
