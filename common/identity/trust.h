#ifndef SLIPWAY_COMMON_IDENTITY_TRUST_H_
#define SLIPWAY_COMMON_IDENTITY_TRUST_H_

#include <map>
#include <string>
#include <vector>

#include "common/crypto/ed25519.h"
#include "common/identity/principal.h"
#include "common/status/status.h"

// For the sources of this room only.
namespace slipway {

/// The keys that each issuer may have signed with.
using TrustedKeys = std::map<ServiceId, std::vector<Ed25519PublicKey>>;

/// Reads `<folder>/<issuer>.pub`; files that are absent are left out.
absl::StatusOr<TrustedKeys> LoadTrustedKeys(const std::string& folder);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_IDENTITY_TRUST_H_
