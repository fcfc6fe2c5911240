#ifndef SLIPWAY_SERVICES_CONTROLLER_SQL_DEPLOYMENT_STORE_H_
#define SLIPWAY_SERVICES_CONTROLLER_SQL_DEPLOYMENT_STORE_H_

#include <memory>
#include <string_view>

#include "common/sql/database.h"
#include "services/controller/deployment_store.h"

namespace slipway::controller {

/// Deployments in a SQL database.
class SqlDeploymentStore final : public DeploymentStore {
 public:
  /// Opens the database and brings its schema up. Errors: those of Database::Open and Migrate.
  static absl::StatusOr<std::unique_ptr<SqlDeploymentStore>> Open(std::string_view url);

  absl::Status Create(const Deployment& deployment) override;
  absl::Status Update(const Deployment& deployment) override;
  absl::Status Remove(const DeploymentName& name) override;
  absl::StatusOr<std::vector<Deployment>> All() override;

 private:
  explicit SqlDeploymentStore(std::unique_ptr<sql::Database> database)
      : database_(std::move(database)) {}

  const std::unique_ptr<sql::Database> database_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_SERVICES_CONTROLLER_SQL_DEPLOYMENT_STORE_H_
