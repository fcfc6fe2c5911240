#include "services/gateway/usage/refusals.h"

#include <string>
#include <utility>

#include "absl/hash/hash.h"
#include "absl/strings/string_view.h"
#include "common/log/log.h"
#include "fmt/format.h"

namespace slipway::gateway {
namespace {

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// What a caller wrote, fit for a row: readable, and without a key that was put into the path.
std::string Clean(std::string_view text) {
  std::string clean(text.substr(0, text.find("slw_")));
  for (char& c : clean) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (clean.size() < text.size()) clean += "...";
  return clean;
}

v1::AuditRecord ToRecord(const Refusal& refusal) {
  v1::AuditRecord record;
  record.set_reason(std::string(refusal.reason));
  record.set_http_code(refusal.http_code);
  record.set_tenant(std::string(refusal.tenant));
  record.set_key_id(std::string(refusal.key_id));
  record.set_peer_address(std::string(refusal.peer_address));
  record.set_method(fmt::format("{} {}", Clean(refusal.verb), Clean(refusal.path)));
  record.set_request_id(std::string(refusal.request_id));
  record.set_count(1);
  return record;
}

}  // namespace

void Refusals::Count(const Refusal& refusal) {
  const std::string_view who = refusal.key_id.empty() ? refusal.peer_address : refusal.key_id;
  const size_t key = absl::HashOf(View(refusal.reason), refusal.http_code, View(who));
  v1::AuditRecord first;
  {
    MutexLock lock(mutex_);
    const auto found = counted_.find(key);
    if (found != counted_.end()) {
      ++found->second.times;
      return;
    }
    if (counted_.size() >= kMaxRefused) {
      ++others_[{refusal.reason, refusal.http_code}];
      return;
    }
    first = ToRecord(refusal);
    counted_[key] = {first, 1};
  }
  Record(std::move(first));
}

void Refusals::EndMinute() {
  absl::flat_hash_map<size_t, Counted> counted;
  std::map<std::pair<std::string_view, int>, int64_t> others;
  {
    MutexLock lock(mutex_);
    counted.swap(counted_);
    others.swap(others_);
  }
  for (auto& [key, each] : counted) {
    if (each.times < 2) continue;
    each.first.set_count(each.times);
    Record(std::move(each.first));
  }
  for (const auto& [what, times] : others) {
    v1::AuditRecord record;
    record.set_reason(std::string(what.first));
    record.set_http_code(what.second);
    record.set_count(times);
    Record(std::move(record));
  }
}

void Refusals::Record(v1::AuditRecord record) {
  absl::StatusOr<Recorder::Ticket> ticket = recorder_.Admit();
  absl::Status status = ticket.status();
  if (status.ok()) status = recorder_.Record(*ticket, record);
  if (!status.ok()) Log(Severity::kWarning, "refusal_not_recorded", {{"error", status}});
}

}  // namespace slipway::gateway
