#ifndef SLIPWAY_SERVICES_GATEWAY_SCHEMA_H_
#define SLIPWAY_SERVICES_GATEWAY_SCHEMA_H_

#include <vector>

#include "common/sql/database.h"

namespace slipway::gateway {

/// The gateway's tables, for Database::Migrate.
const std::vector<sql::Migration>& Schema();

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_SCHEMA_H_
