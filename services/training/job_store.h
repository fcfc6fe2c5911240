#ifndef SLIPWAY_SERVICES_TRAINING_JOB_STORE_H_
#define SLIPWAY_SERVICES_TRAINING_JOB_STORE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "common/names/names.h"
#include "common/status/status.h"
#include "services/training/job.h"

namespace slipway::training {

/// Which progress events stay: the newest ones, and of the older ones every k-th.
struct Thinning {
  int64_t keep_newest = 200;
  int64_t keep_every = 20;
};

/// Where jobs, their events and their usage are kept. What a call acknowledged survives a crash
/// of the process and of the machine. Any thread may call.
///
/// Errors of all: StorageFull, kUnavailable, kInternal.
class JobStore {
 public:
  virtual ~JobStore() = default;

  /// Keeps a new job, gives it its order. Where the tenant has used the job's request id already,
  /// nothing is kept and that job is returned: the caller compares the hashes.
  /// Errors: kAlreadyExists (the name), kResourceExhausted (the tenant has `max_unfinished` jobs
  /// that are not over).
  virtual absl::StatusOr<Job> Insert(const Job& job, const Effects& effects,
                                     int64_t max_unfinished) = 0;

  /// Errors: kNotFound.
  virtual absl::StatusOr<Job> Get(const JobName& name) = 0;

  virtual absl::StatusOr<std::optional<Job>> FindByRequestId(std::string_view tenant,
                                                             std::string_view request_id) = 0;

  /// Jobs of a tenant but trials, newest first, of an order below `before`.
  virtual absl::StatusOr<std::vector<Job>> List(std::string_view tenant, int64_t before,
                                                int limit) = 0;

  /// The trials of a search, in the order in which they were made.
  virtual absl::StatusOr<std::vector<Job>> ListTrials(const JobName& search) = 0;

  /// Jobs of all tenants that have succeeded, the newest ones first.
  virtual absl::StatusOr<std::vector<Job>> ListSucceeded(int limit) = 0;

  /// Jobs that are queued or running, oldest first.
  virtual absl::StatusOr<std::vector<Job>> ListUnfinished() = 0;

  /// Changes a job in one transaction: reads it, lets `change` alter it and say what else it
  /// leaves, writes all of it. An error from `change` changes nothing and is returned. `change`
  /// may run more than once, each time on a fresh job. Returns the job as it is now.
  /// Errors: kNotFound.
  virtual absl::StatusOr<Job> Update(const JobName& name,
                                     absl::FunctionRef<absl::Status(Job&, Effects&)> change) = 0;

  /// Events of a job with a sequence above `after`, in their order. None for an unknown job.
  virtual absl::StatusOr<std::vector<v1::Event>> ListEvents(const JobName& name, int64_t after,
                                                            int limit) = 0;

  /// Usage above `after_cursor`. Cursors go up by one, in the order in which usage becomes
  /// visible: who has read up to a cursor has missed nothing below it.
  virtual absl::StatusOr<std::vector<v1::UsageEvent>> ListUsage(int64_t after_cursor,
                                                                int limit) = 0;

  /// From now on Insert refuses the tenant's jobs (NotFound of the tenant), for good. The jobs that
  /// it has. OK again.
  virtual absl::StatusOr<std::vector<JobName>> CloseTenant(const std::string& tenant) = 0;

  /// Removes the tenant's jobs and their events. Usage stays.
  virtual absl::Status RemoveTenant(const std::string& tenant) = 0;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_JOB_STORE_H_
