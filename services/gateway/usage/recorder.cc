#include "services/gateway/usage/recorder.h"

#include <array>
#include <cstdio>
#include <utility>

#include "common/crypto/random.h"
#include "common/log/log.h"
#include "common/proto_time/proto_time.h"
#include "slipway/gateway/v1/journal.pb.h"

namespace slipway::gateway {
namespace {

// With these no record passes Journal::kMaxRecordBytes.
constexpr size_t kMaxName = 240;
constexpr size_t kMaxWord = 80;

void Cut(std::string& text, size_t max) {
  if (text.size() <= max) return;
  // Not inside a character of UTF-8.
  while (max > 0 && (static_cast<unsigned char>(text[max]) & 0xC0) == 0x80) --max;
  text.resize(max);
}

absl::Status Append(Journal& journal, Journal::Room& room, const v1::JournalEntry& entry) {
  std::array<char, Journal::kMaxRecordBytes> bytes;
  const size_t size = entry.ByteSizeLong();
  if (size > bytes.size()) return absl::InternalError("a journal entry is too large");
  entry.SerializeWithCachedSizesToArray(reinterpret_cast<uint8_t*>(bytes.data()));
  return journal.Append(room, {bytes.data(), size});
}

}  // namespace

Recorder::Recorder(Journal& journal, const Clock& clock)
    : journal_(journal), clock_(clock), run_(static_cast<uint32_t>(RandomUint64())) {}

absl::StatusOr<Recorder::Ticket> Recorder::Admit() {
  Ticket ticket;
  ASSIGN_OR_RETURN(ticket.room_, journal_.Reserve(2));
  return ticket;
}

// Milliseconds, run and count: unique over replicas and restarts, and in order of time.
std::string Recorder::NewId() {
  char text[40];
  const int size = std::snprintf(text, sizeof(text), "%012llx%08x%08x",
                                 static_cast<unsigned long long>(absl::ToUnixMillis(clock_.Now())),
                                 run_, next_.fetch_add(1, std::memory_order_relaxed));
  return {text, static_cast<size_t>(size)};
}

absl::Status Recorder::Record(Ticket& ticket, v1::UsageRecord& record) {
  std::string id = NewId();
  record.set_id(id);
  *record.mutable_time() = ToTimestamp(clock_.Now());
  Cut(*record.mutable_tenant(), kMaxWord);
  Cut(*record.mutable_key_id(), kMaxWord);
  Cut(*record.mutable_kind(), kMaxWord);
  Cut(*record.mutable_resource(), kMaxName);
  Cut(*record.mutable_model_version(), kMaxName);
  Cut(*record.mutable_request_id(), kMaxWord);
  Cut(*record.mutable_project(), kMaxWord);
  v1::JournalEntry entry;
  entry.unsafe_arena_set_allocated_usage(&record);
  const absl::Status status = Append(journal_, ticket.room_, entry);
  (void)entry.unsafe_arena_release_usage();
  RETURN_IF_ERROR(status);
  ticket.id_ = std::move(id);
  ticket.kind_ = v1::Outcome::USAGE;
  return absl::OkStatus();
}

absl::Status Recorder::Record(Ticket& ticket, v1::AuditRecord& record) {
  std::string id = NewId();
  record.set_id(id);
  *record.mutable_time() = ToTimestamp(clock_.Now());
  Cut(*record.mutable_tenant(), kMaxWord);
  Cut(*record.mutable_key_id(), kMaxWord);
  Cut(*record.mutable_method(), kMaxName);
  Cut(*record.mutable_resource(), kMaxName);
  Cut(*record.mutable_peer_address(), kMaxWord);
  Cut(*record.mutable_request_id(), kMaxWord);
  v1::JournalEntry entry;
  entry.unsafe_arena_set_allocated_audit(&record);
  const absl::Status status = Append(journal_, ticket.room_, entry);
  (void)entry.unsafe_arena_release_audit();
  RETURN_IF_ERROR(status);
  ticket.id_ = std::move(id);
  ticket.kind_ = v1::Outcome::AUDIT;
  return absl::OkStatus();
}

void Recorder::Settle(Ticket ticket, int http_code, std::string_view resource) {
  if (ticket.id_.empty()) return;
  v1::JournalEntry entry;
  v1::Outcome& outcome = *entry.mutable_outcome();
  outcome.set_id(ticket.id_);
  outcome.set_kind(static_cast<v1::Outcome::Kind>(ticket.kind_));
  outcome.set_http_code(http_code);
  outcome.set_resource(std::string(resource));
  Cut(*outcome.mutable_resource(), kMaxName);
  // The answer is out: all that is lost with the mark is that it was.
  const absl::Status status = Append(journal_, ticket.room_, entry);
  if (!status.ok()) Log(Severity::kError, "outcome_not_recorded", {{"error", status}});
}

}  // namespace slipway::gateway
