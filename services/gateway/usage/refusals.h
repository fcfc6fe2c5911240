#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_REFUSALS_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_REFUSALS_H_

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/sync/mutex.h"
#include "services/gateway/usage/recorder.h"
#include "slipway/gateway/v1/usage.pb.h"

namespace slipway::gateway {

/// A request that was turned away before any work.
struct Refusal {
  std::string_view reason;  ///< "no_key", "bad_key", "role", "limit_tokens": a literal.
  int http_code = 0;
  std::string_view tenant = {};
  std::string_view key_id =
      {};  ///< Of a good key. Empty: nobody's; then it is counted for the address.
  std::string_view peer_address = {};
  std::string_view verb = {};  ///< "GET"
  std::string_view path = {};  ///< Without its query.
  std::string_view request_id = {};
};

/// Puts refusals into the audit log so that a flood costs nothing: for each reason and key (or
/// address) the first of a minute is recorded in full, those that follow are counted, and the
/// count is recorded when the minute is over. Beyond kMaxRefused of them in one minute only a
/// count for each reason is kept. A kill loses the counts of its minute. Any thread.
class Refusals {
 public:
  static constexpr size_t kMaxRefused = 256;

  /// `recorder` outlives this.
  explicit Refusals(Recorder& recorder) : recorder_(recorder) {}
  ~Refusals() { EndMinute(); }

  /// Never fails: where the journal is full, the refusal is only answered.
  void Count(const Refusal& refusal);

  /// Records the counts of the minute that is over.
  void EndMinute();

 private:
  struct Counted {
    v1::AuditRecord first;
    int64_t times = 0;
  };
  void Record(v1::AuditRecord record);

  Recorder& recorder_;
  Mutex mutex_;
  // By a hash of reason and key: two that share one would be counted together.
  absl::flat_hash_map<size_t, Counted> counted_ GUARDED_BY(mutex_);
  // Of those that came when counted_ was full; by reason and status.
  std::map<std::pair<std::string_view, int>, int64_t> others_ GUARDED_BY(mutex_);
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_REFUSALS_H_
