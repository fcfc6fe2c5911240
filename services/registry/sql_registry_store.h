#ifndef SLIPWAY_SERVICES_REGISTRY_SQL_REGISTRY_STORE_H_
#define SLIPWAY_SERVICES_REGISTRY_SQL_REGISTRY_STORE_H_

#include <memory>

#include "common/sql/database.h"
#include "services/registry/registry_store.h"

namespace slipway::registry {

/// The registry's rows in SQLite or PostgreSQL.
class SqlRegistryStore final : public RegistryStore {
 public:
  /// Brings the schema up to date. `database` outlives the store. Errors: those of
  /// Database::Migrate.
  static absl::StatusOr<std::unique_ptr<SqlRegistryStore>> Create(sql::Database& database);

  absl::Status Write(absl::FunctionRef<absl::Status(RegistryTransaction&)> body) override;
  absl::Status Read(absl::FunctionRef<absl::Status(RegistryTransaction&)> body) override;

 private:
  explicit SqlRegistryStore(sql::Database& database) : database_(database) {}

  sql::Database& database_;
};

}  // namespace slipway::registry

#endif  // SLIPWAY_SERVICES_REGISTRY_SQL_REGISTRY_STORE_H_
