#ifndef SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_HOURS_H_
#define SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_HOURS_H_

#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/sql/database.h"
#include "common/status/status.h"

// Usage by the hour: what the ledger keeps beside its rows, in the same transactions, so that a
// question about a year does not read a year's calls.
namespace slipway::gateway {

namespace v1 {
class UsageRecord;
class UsageTotal;
}  // namespace v1

/// What a batch of new rows adds to their hours. One thread.
class UsageHours {
 public:
  /// Once for each row that is new.
  void Add(const v1::UsageRecord& record);

  /// `writer`: who alone writes these hours, so that replicas do not wait for each other.
  absl::Status Write(sql::Transaction& tx, const std::string& writer) const;

 private:
  struct Sums {
    int64_t calls = 0;
    double quantity = 0;
    int64_t input_bytes = 0;
    int64_t output_bytes = 0;
    int64_t compute_micros = 0;
    int64_t units = 0;
  };
  /// Hour; tenant, project, key, kind, resource, model version.
  std::map<std::pair<int64_t, std::array<std::string, 6>>, Sums> sums_;
};

/// What is asked for. Empty texts: all.
struct UsageQuery {
  std::string tenant = "";
  /// The hours that have any of the time in between.
  absl::Time start = absl::UnixEpoch();
  absl::Time end = absl::InfiniteFuture();
  std::string project = "";
  std::string key_id = "";
  std::string kind = "";
  std::string model = "";
  std::string resource = "";
  /// Names that IsUsageGroup knows, each once, at least one.
  std::vector<std::string> group_by = {};
  /// The values of `group_by` behind which to go on; empty: from the first.
  std::vector<std::string> after = {};
  int limit = 100;
};

/// tenant, project, key, kind, resource, model, version, day and hour.
bool IsUsageGroup(std::string_view name);

/// In the order of their groups. Rows that a kill broke count: their work was done.
/// Errors: InvalidField("pageToken") where `after` does not fit, kUnavailable.
absl::StatusOr<std::vector<v1::UsageTotal>> ReadUsageTotals(sql::Database& database,
                                                            const UsageQuery& query);

/// The values of `group_by` that `total` has, as UsageQuery::after takes them.
std::vector<std::string> GroupOf(const v1::UsageTotal& total,
                                 const std::vector<std::string>& group_by);

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_USAGE_USAGE_HOURS_H_
