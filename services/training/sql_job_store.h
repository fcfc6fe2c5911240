#ifndef SLIPWAY_SERVICES_TRAINING_SQL_JOB_STORE_H_
#define SLIPWAY_SERVICES_TRAINING_SQL_JOB_STORE_H_

#include <memory>

#include "common/sql/database.h"
#include "services/training/job_store.h"

namespace slipway::training {

/// Jobs in the service's own SQL database. Any thread.
class SqlJobStore final : public JobStore {
 public:
  /// Brings the schema up to date. `database` outlives the store.
  static absl::StatusOr<std::unique_ptr<SqlJobStore>> Create(sql::Database& database,
                                                             const Thinning& thinning = {});

  absl::StatusOr<Job> Insert(const Job& job, const Effects& effects,
                             int64_t max_unfinished) override;
  absl::StatusOr<Job> Get(const JobName& name) override;
  absl::StatusOr<std::optional<Job>> FindByRequestId(std::string_view tenant,
                                                     std::string_view request_id) override;
  absl::StatusOr<std::vector<Job>> List(std::string_view tenant, int64_t before,
                                        int limit) override;
  absl::StatusOr<std::vector<Job>> ListTrials(const JobName& search) override;
  absl::StatusOr<std::vector<Job>> ListSucceeded(int limit) override;
  absl::StatusOr<std::vector<Job>> ListUnfinished() override;
  absl::StatusOr<Job> Update(const JobName& name,
                             absl::FunctionRef<absl::Status(Job&, Effects&)> change) override;
  absl::StatusOr<std::vector<v1::Event>> ListEvents(const JobName& name, int64_t after,
                                                    int limit) override;
  absl::StatusOr<std::vector<v1::UsageEvent>> ListUsage(int64_t after_cursor, int limit) override;
  absl::StatusOr<std::vector<JobName>> CloseTenant(const std::string& tenant) override;
  absl::Status RemoveTenant(const std::string& tenant) override;

 private:
  SqlJobStore(sql::Database& database, const Thinning& thinning)
      : database_(database), thinning_(thinning) {}

  absl::Status WriteEffects(sql::Transaction& tx, const Job& job, const Effects& effects);

  sql::Database& database_;
  const Thinning thinning_;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_SQL_JOB_STORE_H_
