#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_SHADOWS_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_SHADOWS_H_

#include <memory>
#include <string>

#include "absl/strings/cord.h"
#include "absl/time/time.h"
#include "common/identity/token.h"
#include "common/time/clock.h"
#include "services/gateway/oip/infer_message.h"
#include "services/gateway/routing/route_table.h"

namespace slipway::gateway {

/// Makes copies of calls whose callers have their answers already: for an endpoint's shadow, where
/// the answer is compared and dropped, and for a worker that is set aside, to see whether it
/// answers again. No caller waits for a copy, pays for it or sees how it ends; it has half of the
/// room that callers have at its endpoint, and all copies together a fixed room here. What does not
/// fit is skipped. Any thread.
class Shadows {
 public:
  struct Options {
    int max_in_flight = 64;
    int64_t max_bytes = 64 << 20;  ///< of requests and of the answers they are compared with
    absl::Duration timeout = absl::Seconds(10);
  };
  struct Parts {
    const Routes& routes;
    TokenIssuer& tokens;
    const Clock& clock;
  };

  /// A call that has ended.
  struct Original {
    Principal principal;
    std::string request_id;
    std::shared_ptr<const Endpoint> endpoint;
    const Target* target = nullptr;  ///< of `endpoint`
    absl::Cord message;              ///< without model and version
    absl::StatusOr<InferAnswer> answer;
    absl::Duration took;
  };

  /// All parts outlive it, and whatever is under way then.
  Shadows(const Options& options, const Parts& parts);

  /// To its endpoint's shadow, which it has. `random`: which version, where the weights choose.
  void Copy(Original original, uint64_t random);
  /// To a worker of its target that is due for a probe.
  void Probe(Original original, std::shared_ptr<RoutedWorker> worker);

 private:
  struct Room;
  class Call;
  bool Send(std::shared_ptr<Call> call);

  const Options options_;
  const Parts parts_;
  const std::shared_ptr<Room> room_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_SHADOWS_H_
