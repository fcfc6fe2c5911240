#ifndef SLIPWAY_SERVICES_GATEWAY_OIP_INFER_CALL_H_
#define SLIPWAY_SERVICES_GATEWAY_OIP_INFER_CALL_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/time/time.h"
#include "common/http/server/server.h"
#include "common/sync/in_flight.h"
#include "common/sync/work_pool.h"
#include "services/gateway/oip/infer_json.h"
#include "services/gateway/oip/prediction.h"

namespace slipway::gateway {

/// One infer request over HTTP: its body becomes the protocol's message, and the answer's message
/// a body. Owned by whatever it waits for: the body, the pool, the worker, the peer.
class InferCall : public std::enable_shared_from_this<InferCall> {
 public:
  struct Options {
    uint64_t max_body_bytes = 32 << 20;
    /// Larger bodies, and those that are compressed, are read and written by the pool, so that
    /// they hold up nobody else's connection.
    size_t inline_body_bytes = 256 << 10;
  };
  struct Parts {
    const Options& options;
    WorkPool& pool;
    GatewayMetrics& metrics;
    InFlight& in_flight;
  };

  /// All parts outlive it. `signature`: of the model, for bodies that only it explains; lives as
  /// long as the prediction.
  InferCall(const Parts& parts, std::shared_ptr<http::Exchange> exchange,
            std::shared_ptr<Prediction> prediction, const registry::v1::Signature& signature);

  void Start();

 private:
  void OnBody(absl::StatusOr<std::string> body);
  void Read();
  absl::Status Parse(InferRequest& request);
  void OnAnswer(absl::StatusOr<InferAnswer> answer);
  void Write();
  void Fail(const absl::Status& status);

  const Parts parts_;
  const InFlight::Guard in_flight_;
  const std::shared_ptr<http::Exchange> exchange_;
  const std::shared_ptr<Prediction> prediction_;
  const registry::v1::Signature& signature_;
  std::string body_;
  AnswerForm form_;
  InferAnswer answer_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_OIP_INFER_CALL_H_
