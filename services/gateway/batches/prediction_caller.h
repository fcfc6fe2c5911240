#ifndef SLIPWAY_SERVICES_GATEWAY_BATCHES_PREDICTION_CALLER_H_
#define SLIPWAY_SERVICES_GATEWAY_BATCHES_PREDICTION_CALLER_H_

#include <memory>
#include <string>

#include "services/gateway/batches/line_caller.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/oip/prediction.h"

namespace slipway::gateway {

/// Lines as predictions: each is a Prediction by the batch's key, of the least urgent priority. A
/// line's answer is in JSON; calls of a sequence, which have an order, are refused.
class PredictionCaller final : public LineCaller {
 public:
  /// Both outlive the caller.
  PredictionCaller(const Prediction::Parts& predictions, const KeyTable& keys)
      : predictions_(predictions), keys_(keys) {}

  absl::Status Check(const v1::Batch& batch) override;
  std::shared_ptr<LineCall> Start(const v1::Batch& batch, std::string request_id, std::string body,
                                  absl::AnyInvocable<void()> done) override;

 private:
  const Prediction::Parts& predictions_;
  const KeyTable& keys_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BATCHES_PREDICTION_CALLER_H_
