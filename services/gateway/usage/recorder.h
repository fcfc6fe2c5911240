#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_RECORDER_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_RECORDER_H_

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/gateway/usage/journal.h"

namespace slipway::gateway {

namespace v1 {
class AuditRecord;
class Outcome;
class UsageRecord;
}  // namespace v1

/// The code of an answer that its caller did not take.
inline constexpr int kCallerLeft = 499;

/// Puts what the gateway did into the journal. A call has three steps:
///
///   1. Admit() before its work, so that work whose record has no room is never done;
///   2. Record() before the first byte of its answer (usage) or before the change is tried (audit);
///   3. Settle() once it is known how it ended. A record that a kill leaves unsettled is marked.
///
/// Any thread.
class Recorder {
 public:
  /// Both outlive the recorder.
  Recorder(Journal& journal, const Clock& clock);

  /// The right to one record and its outcome. Dropped without Record(), it leaves nothing.
  class Ticket {
   public:
    const std::string& id() const { return id_; }

   private:
    friend class Recorder;
    Journal::Room room_;
    std::string id_;  // empty until recorded
    int kind_ = 0;
  };

  /// Errors: StorageFull.
  absl::StatusOr<Ticket> Admit();

  /// Fills in the record's id and time, and writes it. Texts that are too long are cut.
  absl::Status Record(Ticket& ticket, v1::UsageRecord& record);
  absl::Status Record(Ticket& ticket, v1::AuditRecord& record);

  /// `resource`: what a change made, where it was not known before; may be empty.
  void Settle(Ticket ticket, int http_code, std::string_view resource = {});

 private:
  std::string NewId();

  Journal& journal_;
  const Clock& clock_;
  const uint32_t run_;  // of this process; part of each id
  std::atomic<uint32_t> next_ = 0;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_RECORDER_H_
