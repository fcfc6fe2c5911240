#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_RECORDS_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_RECORDS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "common/crypto/hash.h"
#include "common/identity/principal.h"

namespace slipway::gateway {

struct TenantRecord {
  std::string id;
  std::string display_name;
  bool suspended = false;
  absl::Time create_time;
};

/// What is stored of a key; the key itself is not.
struct KeyRecord {
  std::string id;
  std::string tenant;  ///< Empty: an operator's.
  std::string display_name;
  Role role = Role::kNone;
  int64_t pepper_version = 0;
  Sha256Bytes mac = {};
  absl::Time create_time;
  std::optional<absl::Time> expire_time;
  std::optional<absl::Time> revoke_time;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_RECORDS_H_
