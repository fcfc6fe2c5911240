#include "services/gateway/identity/tenant_deleter.h"

#include <algorithm>
#include <utility>

#include "common/crypto/hash.h"
#include "common/identity/tenant_content.h"
#include "common/log/log.h"
#include "common/names/names.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"

namespace slipway::gateway {
namespace {

using google::protobuf::util::TimeUtil;
using identity::v1::PurgeTenantResponse;

v1::TenantDeletion::Part* FindPart(v1::TenantDeletion& deletion, const std::string& service) {
  for (auto& part : *deletion.mutable_parts()) {
    if (part.service() == service) return &part;
  }
  return nullptr;
}

}  // namespace

TenantDeleter::TenantDeleter(TenantDeletions& deletions, KeyFeed& feed,
                             std::vector<TenantKeeper> keepers, Vouch vouch,
                             absl::Duration interval, const Clock& clock)
    : deletions_(deletions),
      feed_(feed),
      keepers_(std::move(keepers)),
      vouch_(std::move(vouch)),
      interval_(interval),
      clock_(clock) {}

void TenantDeleter::AddTo(LocalMethods& methods) {
  methods.Add<v1::DeleteTenantRequest, v1::TenantDeletion>(
      "slipway.gateway.v1.TenantService/DeleteTenant",
      [this](const Principal& who, const auto& request) { return DeleteTenant(who, request); });
  methods.Add<v1::GetTenantDeletionRequest, v1::TenantDeletion>(
      "slipway.gateway.v1.TenantService/GetTenantDeletion",
      [this](const Principal&, const auto& request) { return GetTenantDeletion(request); });
}

void TenantDeleter::Start() {
  thread_.Start(interval_, RepeatingThread::First::kAtOnce, [this] { GoOn(); });
}

absl::StatusOr<v1::TenantDeletion> TenantDeleter::DeleteTenant(
    const Principal& who, const v1::DeleteTenantRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("name", request.name()));
  v1::TenantDeletion deletion;
  deletion.set_name(tenant.ToString() + "/deletion");
  deletion.set_state(v1::TenantDeletion::RUNNING);
  *deletion.mutable_create_time() = ToTimestamp(clock_.Now());
  deletion.set_requested_by(who.key_id);
  ASSIGN_OR_RETURN(deletion, deletions_.Begin(tenant.tenant, deletion));
  RETURN_IF_ERROR(feed_.Refresh());
  thread_.Wake();
  return deletion;
}

absl::StatusOr<v1::TenantDeletion> TenantDeleter::GetTenantDeletion(
    const v1::GetTenantDeletionRequest& request) {
  constexpr std::string_view kSuffix = "/deletion";
  std::string name = request.name();
  if (!name.ends_with(kSuffix)) return InvalidField("name", "must end in /deletion");
  name.resize(name.size() - kSuffix.size());
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("name", name));
  ASSIGN_OR_RETURN(Entry entry, deletions_.Get(tenant.tenant));
  return std::move(entry.deletion);
}

absl::StatusOr<bool> TenantDeleter::Step(const std::string& tenant) {
  ASSIGN_OR_RETURN(Entry entry, deletions_.Get(tenant));
  if (entry.deletion.state() == v1::TenantDeletion::DONE) return true;
  for (const TenantKeeper& keeper : keepers_) {
    v1::TenantDeletion::Part* part = FindPart(entry.deletion, keeper.service);
    if (part != nullptr && part->removed()) continue;
    if (part == nullptr) {
      RETURN_IF_ERROR(Close(keeper, entry));
    } else {
      RETURN_IF_ERROR(Remove(keeper, tenant));
      part->set_removed(true);
    }
    entry.deletion.clear_waiting_for();
    RETURN_IF_ERROR(deletions_.Save(entry));
    return false;
  }
  if (entry.deletion.report().empty()) {
    // What was made while others were still being closed has to go, too.
    for (const TenantKeeper& keeper : keepers_) RETURN_IF_ERROR(Remove(keeper, tenant));
    WriteReport(entry);
    RETURN_IF_ERROR(deletions_.Save(entry));
    return false;
  }
  RETURN_IF_ERROR(vouch_(tenant, entry.deletion));
  entry.deletion.set_state(v1::TenantDeletion::DONE);
  RETURN_IF_ERROR(deletions_.Finish(entry));
  RETURN_IF_ERROR(feed_.Refresh());
  Log(Severity::kInfo, "tenant_deleted",
      {{"tenant", tenant}, {"report_sha256", entry.deletion.report_sha256()}});
  return true;
}

absl::Status TenantDeleter::Close(const TenantKeeper& keeper, Entry& entry) {
  absl::StatusOr<PurgeTenantResponse> content = keeper.purge(entry.tenant, /*remove=*/false);
  if (!content.ok()) return Annotate(content.status(), keeper.service);
  v1::TenantDeletion::Part& part = *entry.deletion.add_parts();
  part.set_service(keeper.service);
  for (const auto& kind : content->kinds()) {
    v1::TenantDeletion::Removal& removal = *part.add_removals();
    removal.set_kind(kind.kind());
    removal.set_count(kind.count());
    removal.set_names_sha256(kind.names_sha256());
  }
  return absl::OkStatus();
}

absl::Status TenantDeleter::Remove(const TenantKeeper& keeper, const std::string& tenant) {
  const absl::StatusOr<PurgeTenantResponse> content = keeper.purge(tenant, /*remove=*/true);
  if (!content.ok()) return Annotate(content.status(), keeper.service);
  if (content->done() && IsEmpty(*content)) return absl::OkStatus();
  return absl::UnavailableError(
      fmt::format("{}: what is under way there has to end first", keeper.service));
}

// Lines that anybody can check by eye and hash by hand.
void TenantDeleter::WriteReport(Entry& entry) const {
  v1::TenantDeletion& deletion = entry.deletion;
  *deletion.mutable_end_time() = ToTimestamp(clock_.Now());
  std::string report = fmt::format(
      "tenants/{} was deleted; its usage and audit records stay\n"
      "requested by {} at {}\nnothing was left at {}\n"
      "service kind count sha256-of-names\n",
      entry.tenant, deletion.requested_by(), TimeUtil::ToString(deletion.create_time()),
      TimeUtil::ToString(deletion.end_time()));
  for (const auto& part : deletion.parts()) {
    for (const auto& removal : part.removals()) {
      report += fmt::format("{} {} {} {}\n", part.service(), removal.kind(), removal.count(),
                            removal.names_sha256());
    }
  }
  deletion.set_report_sha256(Sha256Hex(report));
  deletion.set_report(std::move(report));
}

void TenantDeleter::GoOnWith(const std::string& tenant) {
  while (!thread_.stopping()) {
    const absl::StatusOr<bool> done = Step(tenant);
    if (!done.ok()) return NoteWait(tenant, done.status());
    if (*done) return;
  }
}

void TenantDeleter::NoteWait(const std::string& tenant, const absl::Status& status) {
  if (absl::IsAborted(status)) return;  // another replica is at it
  absl::StatusOr<Entry> entry = deletions_.Get(tenant);
  const std::string reason(status.message());
  if (!entry.ok() || entry->deletion.waiting_for() == reason) return;
  Log(Severity::kWarning, "tenant_deletion_waits", {{"tenant", tenant}, {"reason", status}});
  entry->deletion.set_waiting_for(reason);
  // Only the note would be lost.
  deletions_.Save(*entry).IgnoreError();
}

void TenantDeleter::GoOn() {
  const auto running = deletions_.ListRunning();
  if (!running.ok()) return;
  for (const Entry& entry : *running) GoOnWith(entry.tenant);
}

}  // namespace slipway::gateway
