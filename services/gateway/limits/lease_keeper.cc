#include "services/gateway/limits/lease_keeper.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/crypto/random.h"
#include "common/log/log.h"
#include "fmt/format.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"

namespace slipway::gateway {
namespace {

constexpr absl::Duration kInterval = absl::Milliseconds(250);
// Also where limits are hungry: what comes meanwhile is asked for together.
constexpr absl::Duration kPause = absl::Milliseconds(20);
// Limits of one transaction.
constexpr size_t kBatch = 50;

}  // namespace

LeaseKeeper::LeaseKeeper(LeaseStore& store, Admission& admission, Metrics& metrics,
                         const Clock& clock)
    : store_(store),
      admission_(admission),
      clock_(clock),
      replica_(fmt::format("{:016x}", RandomUint64())),
      replicas_gauge_(metrics.Gauge("limit_replicas", "Gateways that share the limits")),
      failures_(metrics.Counter("limit_exchange_failures_total",
                                "How often leases could not be had from the database")) {
  admission_.OnHungry([this] {
    MutexLock lock(wait_mutex_);
    hungry_ = true;
    wake_.Signal();
  });
}

LeaseKeeper::~LeaseKeeper() {
  {
    MutexLock lock(wait_mutex_);
    stopping_ = true;
  }
  wake_.Signal();
  if (!thread_.joinable()) return;
  thread_.join();
  std::vector<Account::Pending> pending = admission_.Collect(/*hungry_only=*/false);
  for (Account::Pending& each : pending) each.request.want = 0;
  Exchange(std::move(pending)).IgnoreError();
  store_.Leave(replica_).IgnoreError();
}

void LeaseKeeper::Start() {
  thread_ = std::jthread([this] { Run(); });
}

absl::Status LeaseKeeper::Refresh() {
  MutexLock lock(look_mutex_);
  const absl::Duration began = clock_.Monotonic();
  if (began - registered_ > kReplicaTime / 3) {
    RETURN_IF_ERROR(store_.Register(replica_));
    registered_ = began;
  }
  ASSIGN_OR_RETURN(const LimitsLook look, store_.Look(cursor_));
  admission_.Apply(look, began);
  cursor_ = look.cursor;
  replicas_ = look.replicas;
  replicas_gauge_.Set(look.replicas);
  return absl::OkStatus();
}

absl::Status LeaseKeeper::Exchange(std::vector<Account::Pending> pending) {
  absl::Status status;
  int replicas;
  {
    MutexLock lock(look_mutex_);
    replicas = replicas_;
  }
  for (size_t at = 0; at < pending.size(); at += kBatch) {
    const size_t end = std::min(pending.size(), at + kBatch);
    std::vector<LeaseRequest> requests;
    for (size_t i = at; i < end; ++i) requests.push_back(pending[i].request);
    const absl::Duration asked = clock_.Monotonic();
    auto answers = status.ok() ? store_.Exchange(replica_, replicas, requests)
                               : absl::StatusOr<std::vector<LeaseAnswer>>(status);
    status = answers.status();
    for (size_t i = at; i < end; ++i) {
      pending[i].account->Settle(requests[i - at].quantity,
                                 answers.ok() ? std::optional((*answers)[i - at]) : std::nullopt,
                                 asked);
    }
  }
  if (!status.ok()) failures_.Increment();
  return status;
}

absl::Status LeaseKeeper::Step(bool hungry_only) {
  absl::Status status;
  if (!hungry_only) status = Refresh();
  status.Update(Exchange(admission_.Collect(hungry_only)));
  return status;
}

void LeaseKeeper::Run() {
  bool failing = false;
  absl::Duration looked = -absl::InfiniteDuration();
  absl::Duration asked = looked;
  for (;;) {
    bool hungry_only = true;
    {
      MutexLock lock(wait_mutex_);
      for (;;) {
        if (stopping_) return;
        const absl::Duration now = clock_.Monotonic();
        hungry_only = now < looked + kInterval;
        if (!hungry_only || (hungry_ && now >= asked + kPause)) break;
        const absl::Duration until =
            hungry_ ? std::min(asked + kPause, looked + kInterval) : looked + kInterval;
        wake_.WaitFor(wait_mutex_, absl::ToChronoNanoseconds(until - now));
      }
      hungry_ = false;
    }
    asked = clock_.Monotonic();
    if (!hungry_only) looked = asked;
    const absl::Status status = Step(hungry_only);
    // The first of a row of failures is told, and their end.
    if (!status.ok() && !failing) Log(Severity::kError, "limits_not_shared", {{"error", status}});
    if (status.ok() && failing) Log(Severity::kInfo, "limits_shared_again");
    failing = !status.ok();
  }
}

}  // namespace slipway::gateway
