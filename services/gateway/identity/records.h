#ifndef SLIPWAY_SERVICES_GATEWAY_IDENTITY_RECORDS_H_
#define SLIPWAY_SERVICES_GATEWAY_IDENTITY_RECORDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/crypto/hash.h"
#include "common/identity/principal.h"

namespace slipway::gateway {

/// Numbers as stored.
enum class TenantState { kActive = 0, kSuspended = 1, kDeleting = 2, kDeleted = 3 };

struct TenantRecord {
  std::string id;
  std::string display_name;
  TenantState state = TenantState::kActive;
  absl::Time create_time;
};

/// The project that each tenant has from its beginning.
inline constexpr char kDefaultProject[] = "default";

struct ProjectRecord {
  std::string tenant;
  std::string id;
  std::string display_name;
  absl::Time create_time;
  std::optional<absl::Time> archive_time;
};

/// What tells a key's secret, which itself is not stored.
struct SecretCode {
  int64_t pepper_version = 0;
  Sha256Bytes mac = {};
};

/// What is stored of a key.
struct KeyRecord {
  std::string id;
  std::string tenant;  ///< Empty: an operator's.
  std::string display_name;
  Role role = Role::kNone;
  std::string project;                        ///< Id; empty: an operator's.
  std::vector<std::string> allowed_models;    ///< Endpoints; empty: all.
  std::vector<std::string> allowed_networks;  ///< As Network::Parse takes them; empty: any.
  SecretCode code;
  absl::Time create_time;
  std::optional<absl::Time> expire_time;
  std::optional<absl::Time> revoke_time;
  std::optional<absl::Time> rotate_time;
  /// The secret before, which works too until `overlap_end`.
  std::optional<SecretCode> old_code;
  std::optional<absl::Time> overlap_end;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_IDENTITY_RECORDS_H_
