#include "services/controller/worker_life.h"

#include <utility>

namespace slipway::controller {

void WorkerLife::Begin(const std::string& for_owner, absl::Duration now) {
  running = true;
  ++incarnation;
  changed_at = now;
  stop_reason.clear();
  retired = false;
  if (owner == for_owner) return;
  // What another owner's models did to it says nothing of this one's.
  failed_starts = 0;
  down_reason.clear();
  owner = for_owner;
}

void WorkerLife::End(const std::string& how, absl::Duration now, absl::Duration healthy_after) {
  if (retired) {
    failed_starts = 0;
    down_reason.clear();
  } else {
    failed_starts = now - changed_at >= healthy_after ? 1 : failed_starts + 1;
    down_reason = stop_reason.empty() ? how : stop_reason;
  }
  running = false;
  changed_at = now;
}

WorkerProcess WorkerLife::Describe(WorkerId id, absl::Duration now,
                                   absl::Duration healthy_after) const {
  const bool lasts = running && now - changed_at >= healthy_after;
  return {.id = std::move(id),
          .running = running,
          .address = "",
          .incarnation = incarnation,
          .since = now - changed_at,
          .failed_starts = failed_starts,
          .down_reason = lasts ? "" : down_reason,
          .owner = owner,
          .ending = running && retired};
}

}  // namespace slipway::controller
