#ifndef SLIPWAY_SERVICES_TRAINING_TRAINING_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINING_H_

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "common/identity/principal.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/training/board.h"
#include "services/training/event_bell.h"
#include "services/training/job.h"
#include "services/training/job_store.h"
#include "services/training/model_registry.h"
#include "services/training/objects/object_stores.h"
#include "slipway/identity/v1/purge.pb.h"
#include "slipway/training/v1/job_events.pb.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::training {

struct TrainingOptions {
  /// Jobs of a tenant that are queued or running.
  int64_t max_unfinished_per_tenant = 1000;
  /// Watches at once; each holds a thread.
  int max_watchers = 128;
  RetryPolicy retry = {};
  /// The platform's version, for the lineage of what is trained.
  std::string code_version = {};
};

/// Training jobs: what their owners ask for, and what their trainers tell. Everything is kept
/// before it is answered. Running them is Runner's (it sees changes on the board). Any thread.
///
/// Another tenant's job and one that does not exist give the same kNotFound.
class Training {
 public:
  /// All arguments outlive this.
  Training(JobStore& store, ModelRegistry& registry, const ObjectStores& objects, Board& board,
           EventBell& bell, const Clock& clock, const TrainingOptions& options);

  // ---- What owners ask. ----

  /// Checks the spec whole and against its dataset (or objects) and base, and queues the job. The
  /// same request id with the same request answers the job that the first call made. Errors:
  /// InvalidField
  /// ("spec..."), kAlreadyExists (the request id was used for another request, or the name is
  /// taken), kResourceExhausted (the tenant's limit), kUnavailable.
  absl::StatusOr<v1::TrainingJob> Submit(const Principal& who,
                                         const v1::CreateTrainingJobRequest& request,
                                         absl::Time deadline);

  absl::StatusOr<v1::TrainingJob> Get(const Principal& who, const JobName& name);

  absl::StatusOr<v1::ListTrainingJobsResponse> List(const Principal& who, const TenantName& parent,
                                                    int page_size, const std::string& page_token);

  /// Newest first.
  absl::StatusOr<v1::ListTrainingJobEventsResponse> ListEvents(
      const Principal& who, const JobName& name, const v1::ListTrainingJobEventsRequest& request);

  /// A queued job ends at once, a running one when its trainer has stopped. Idempotent.
  /// Errors: kFailedPrecondition (it has succeeded or failed).
  absl::StatusOr<v1::TrainingJob> Cancel(const Principal& who, const JobName& name);

  /// A queued job is set aside at once, a running one when its trainer has written a checkpoint.
  /// Idempotent. Errors: kFailedPrecondition (it is over, or about to be).
  absl::StatusOr<v1::TrainingJob> Pause(const Principal& who, const JobName& name);

  /// Queues a paused job again. Idempotent. Errors: kFailedPrecondition (it is over).
  absl::StatusOr<v1::TrainingJob> Resume(const Principal& who, const JobName& name);

  /// Hands every event after `after` to `emit`, those that are there and then those that come,
  /// until the one that ends the job. `emit` answers false, and `gone` true, when the watcher has
  /// left. Blocks.
  /// Errors: kCancelled (the watcher left), kUnavailable (the service stops), kResourceExhausted.
  absl::Status Watch(const Principal& who, const JobName& name, int64_t after,
                     absl::FunctionRef<bool(const v1::Event&)> emit,
                     absl::FunctionRef<bool()> gone);

  /// Usage of all tenants, for the gateway on its own behalf.
  /// Errors: kFailedPrecondition (on a tenant's behalf).
  absl::StatusOr<v1::ListUsageEventsResponse> ListUsage(const Principal& who, int64_t after_cursor,
                                                        int page_size);

  /// Closes a tenant for good: nothing can be submitted in it. With `remove` its jobs are cancelled
  /// and, once nothing runs for any of them, removed; until then the answer is not done. Repeating
  /// it is harmless. Errors: NotFound for all but operators.
  absl::StatusOr<identity::v1::PurgeTenantResponse> PurgeTenant(const Principal& who,
                                                                const TenantName& tenant,
                                                                bool remove);

  // ---- What trainers tell. Their token is limited to one job. ----

  /// Returns whether the trainer is to stop; what a stale attempt tells is dropped.
  absl::StatusOr<bool> Report(const Principal& who, const JobName& name, int attempt,
                              const google::protobuf::RepeatedPtrField<v1::Event>& events);

  /// Takes the result. When this returns OK it is kept, and the job ends as soon as the registry
  /// has it. Repeating it is harmless. Errors: kAborted (the attempt is over, or was cancelled).
  absl::Status Complete(const Principal& who, const JobName& name, int attempt, Result result);

  /// The attempt failed, for the reason `error`. Errors: kAborted (the attempt is over).
  absl::Status Fail(const Principal& who, const JobName& name, int attempt,
                    const std::string& error, bool retryable);

 private:
  using Request = absl::Status (*)(Job& job, absl::Time now, Effects& effects);
  absl::StatusOr<v1::TrainingJob> Ask(const Principal& who, const JobName& name, Request request,
                                      std::string_view event);
  absl::StatusOr<Job> Change(const JobName& name,
                             absl::FunctionRef<absl::Status(Job&, Effects&)> change);
  /// True once nothing of the tenant is under way.
  absl::StatusOr<bool> EndJobs(const std::string& tenant);

  JobStore& store_;
  ModelRegistry& registry_;
  const ObjectStores& objects_;
  Board& board_;
  EventBell& bell_;
  const Clock& clock_;
  const TrainingOptions options_;
  std::atomic<int> watchers_ = 0;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINING_H_
