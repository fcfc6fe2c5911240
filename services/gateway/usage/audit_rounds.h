#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_AUDIT_ROUNDS_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_AUDIT_ROUNDS_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/status/status.h"
#include "common/sync/repeating_thread.h"
#include "services/gateway/audit/audit_log.h"
#include "services/gateway/usage/refusals.h"

namespace slipway::gateway {

/// What the audit log needs once a minute: the counts of refusals are recorded, and the heads of
/// the chains, where they have moved, go into the log and into a file outside of the database. A
/// chain that no longer holds the head in the file is told in the log each time, and keeps that
/// head there for Verify. A thread of its own.
class AuditRounds {
 public:
  /// Both outlive this. `heads_file`: one JSON object a line, replaced as a whole.
  AuditRounds(AuditLog& log, Refusals& refusals, std::string heads_file, absl::Duration interval);

  void Start();

  /// One round.
  absl::Status Go();

 private:
  AuditLog& log_;
  Refusals& refusals_;
  const std::string heads_file_;
  const absl::Duration interval_;
  RepeatingThread thread_;
};

/// What a heads file holds; nothing where there is none. Errors: kInvalidArgument.
absl::StatusOr<std::vector<AuditHead>> ReadHeads(const std::string& heads_file);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_AUDIT_ROUNDS_H_
