#ifndef SLIPWAY_SERVICES_GATEWAY_GRPC_INFER_STREAM_H_
#define SLIPWAY_SERVICES_GATEWAY_GRPC_INFER_STREAM_H_

#include <deque>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/http/grpc/server_call.h"
#include "common/sync/in_flight.h"
#include "common/sync/mutex.h"
#include "services/gateway/oip/prediction.h"

namespace slipway::gateway {

/// One ModelStreamInfer call: each request of the stream is a prediction of its own, with a row of
/// its own; a few are under way at once, of one sequence one, and their answers go out in the order
/// of the requests. One that fails is answered by an error_message, and the stream goes on; what
/// else its status says (when to come back) are parameters of its answer. How much of the limits is
/// left the stream's head says as of the first answer, and its trailers as of the last. Owned by
/// whatever it waits for.
class InferStream : public std::enable_shared_from_this<InferStream> {
 public:
  using Call = std::shared_ptr<http::grpc::ServerCall>;

  struct Parts {
    const Prediction::Parts& predictions;
    InFlight& in_flight;
    InFlight& streams;
  };

  /// What the parts refer to outlives it.
  InferStream(const Parts& parts, Call call, std::shared_ptr<const KnownKey> key);

  void Start();

 private:
  struct Item;

  void Read();
  void Begin(http::grpc::Message message);
  void Ask(const std::shared_ptr<Item>& item);
  void OnAnswer(const std::shared_ptr<Item>& item, absl::StatusOr<InferAnswer> answer);
  void Write();
  void Break();

  const Parts parts_;
  const InFlight::Guard in_flight_;
  const InFlight::Guard stream_;
  const Call call_;
  const std::shared_ptr<const KnownKey> key_;
  absl::Time end_;
  int count_ = 0;  // of requests; by the one who reads

  Mutex mutex_;
  std::deque<std::shared_ptr<Item>> items_ GUARDED_BY(mutex_);  // in the order of the requests
  bool reading_ GUARDED_BY(mutex_) = false;
  bool ended_ GUARDED_BY(mutex_) = false;    // no more requests come
  bool broken_ GUARDED_BY(mutex_) = false;   // nobody takes the answers
  bool writing_ GUARDED_BY(mutex_) = false;  // the first item
  bool begun_ GUARDED_BY(mutex_) = false;    // an answer was written
  http::Headers limits_ GUARDED_BY(mutex_);  // as of the last item that was written
  bool finished_ GUARDED_BY(mutex_) = false;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_GRPC_INFER_STREAM_H_
