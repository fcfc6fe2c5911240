#ifndef SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_SERVICE_H_
#define SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_SERVICE_H_

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/gateway/api/local_methods.h"
#include "services/gateway/batches/sql_batch_store.h"
#include "services/gateway/identity/key_table.h"
#include "slipway/gateway/v1/batches.pb.h"

namespace slipway::gateway {

/// BatchService: what the public API does with batches. Any thread.
class BatchService {
 public:
  /// `wake` is called for what a runner should look at. The others outlive this.
  BatchService(SqlBatchStore& store, const KeyTable& keys, std::function<void()> wake,
               const Clock& clock)
      : store_(store), keys_(keys), wake_(std::move(wake)), clock_(clock) {}

  void AddTo(LocalMethods& methods);

  absl::StatusOr<v1::Batch> CreateBatch(const Principal& who,
                                        const v1::CreateBatchRequest& request);
  absl::StatusOr<v1::Batch> GetBatch(const v1::GetBatchRequest& request);
  absl::StatusOr<v1::ListBatchesResponse> ListBatches(const v1::ListBatchesRequest& request);
  absl::StatusOr<v1::Batch> CancelBatch(const v1::CancelBatchRequest& request);

 private:
  SqlBatchStore& store_;
  const KeyTable& keys_;
  const std::function<void()> wake_;
  const Clock& clock_;
};

/// An id by whose order things were made: "<kind>-", the time, 48 random bits.
std::string NewTimedId(std::string_view kind, absl::Time now);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCH_SERVICE_H_
