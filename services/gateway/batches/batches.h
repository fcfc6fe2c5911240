#ifndef SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCHES_H_
#define SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCHES_H_

#include <memory>

#include "common/identity/token.h"
#include "common/sql/database.h"
#include "common/time/clock.h"
#include "services/gateway/api/local_methods.h"
#include "services/gateway/batches/batch_runner.h"
#include "services/gateway/batches/batch_service.h"
#include "services/gateway/batches/prediction_caller.h"
#include "services/gateway/batches/registry_files_client.h"
#include "services/gateway/batches/sql_batch_store.h"
#include "services/gateway/identity/key_table.h"
#include "services/gateway/oip/prediction.h"

namespace slipway::gateway {

/// The gateway's batches, put together: the public methods, and the runner of this replica.
class Batches {
 public:
  /// `predictions`, like all that is referred to, outlive this.
  Batches(sql::Database& database, std::shared_ptr<grpc::Channel> registry, TokenIssuer& tokens,
          const KeyTable& keys, const Prediction::Parts& predictions, const BatchOptions& options,
          int threads, const Clock& clock)
      : options_(options),
        store_(database),
        files_(std::move(registry), tokens, clock),
        caller_(predictions, keys),
        runner_({store_, files_, caller_, clock, options_}, {.threads = threads}),
        service_(
            store_, keys, [this] { runner_.Wake(); }, clock) {}

  void AddTo(LocalMethods& methods) { service_.AddTo(methods); }
  void Start() { runner_.Start(); }
  /// Leaves what runs to other replicas, or to the next start.
  void Stop() { runner_.Stop(); }

 private:
  const BatchOptions options_;
  SqlBatchStore store_;
  RegistryFiles files_;
  PredictionCaller caller_;
  BatchRunner runner_;
  BatchService service_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BATCHES_BATCHES_H_
