#include "services/gateway/usage/usage_service.h"

#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "common/log/log.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "services/gateway/api/pages.h"

namespace slipway::gateway {
namespace {

using google::protobuf::util::TimeUtil;

// A full batch takes some milliseconds; a list that lacks the last seconds is better than none.
constexpr absl::Duration kCatchUp = absl::Seconds(2);

template <class Record>
std::string TokenOf(const Record& record) {
  return Page::Token(
      fmt::format("{} {}", TimeUtil::TimestampToMicroseconds(record.time()), record.id()));
}

absl::StatusOr<std::optional<Ledger::Mark>> ReadMark(const Page& page) {
  if (page.after.empty()) return std::optional<Ledger::Mark>();
  Ledger::Mark mark;
  const char* const begin = page.after.data();
  const char* const end = begin + page.after.size();
  const auto [after, error] = std::from_chars(begin, end, mark.time_micros);
  if (error != std::errc() || after == end || *after != ' ') {
    return InvalidField("pageToken", "is none that this list has given");
  }
  mark.id.assign(after + 1, end);
  return std::optional(std::move(mark));
}

absl::StatusOr<absl::Time> ReadTime(std::string_view field,
                                    const google::protobuf::Timestamp& time) {
  if (time.seconds() < TimeUtil::kTimestampMinSeconds ||
      time.seconds() > TimeUtil::kTimestampMaxSeconds) {
    return InvalidField(field, "is no time between the years 1 and 9999");
  }
  return absl::FromUnixMicros(TimeUtil::TimestampToMicroseconds(time));
}

}  // namespace

void UsageService::AddTo(LocalMethods& methods) {
  methods.Add<v1::GetUsageRequest, v1::Usage>(
      "slipway.gateway.v1.UsageService/GetUsage",
      [this](const Principal&, const auto& request) { return GetUsage(request); });
  methods.Add<v1::ListUsageRecordsRequest, v1::ListUsageRecordsResponse>(
      "slipway.gateway.v1.UsageService/ListUsageRecords",
      [this](const Principal&, const auto& request) { return ListUsageRecords(request); });
  methods.Add<v1::ListAuditRecordsRequest, v1::ListAuditRecordsResponse>(
      "slipway.gateway.v1.AuditService/ListAuditRecords",
      [this](const Principal&, const auto& request) { return ListAuditRecords(request); });
}

void UsageService::CatchUp() {
  const absl::Status status = feed_.Flush(kCatchUp);
  if (!status.ok()) Log(Severity::kWarning, "ledger_read_behind", {{"error", status}});
}

absl::StatusOr<v1::Usage> UsageService::GetUsage(const v1::GetUsageRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  absl::Time start = absl::UnixEpoch();
  absl::Time end = absl::InfiniteFuture();
  if (request.has_start_time()) {
    ASSIGN_OR_RETURN(start, ReadTime("startTime", request.start_time()));
  }
  if (request.has_end_time()) {
    ASSIGN_OR_RETURN(end, ReadTime("endTime", request.end_time()));
  }
  if (end < start) return InvalidField("endTime", "must not be before startTime");
  CatchUp();
  ASSIGN_OR_RETURN(auto totals, ledger_.Totals(tenant.tenant, start, end));
  v1::Usage usage;
  for (v1::UsageTotal& total : totals) *usage.add_totals() = std::move(total);
  return usage;
}

absl::StatusOr<v1::ListUsageRecordsResponse> UsageService::ListUsageRecords(
    const v1::ListUsageRecordsRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(const auto mark, ReadMark(page));
  CatchUp();
  ASSIGN_OR_RETURN(auto records, ledger_.ListUsage(tenant.tenant, mark, page.size + 1));
  v1::ListUsageRecordsResponse response;
  const bool more = records.size() > static_cast<size_t>(page.size);
  if (more) records.pop_back();
  if (more) response.set_next_page_token(TokenOf(records.back()));
  for (v1::UsageRecord& record : records) *response.add_usage_records() = std::move(record);
  return response;
}

absl::StatusOr<v1::ListAuditRecordsResponse> UsageService::ListAuditRecords(
    const v1::ListAuditRecordsRequest& request) {
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(const auto mark, ReadMark(page));
  CatchUp();
  ASSIGN_OR_RETURN(auto records, ledger_.ListAudit(tenant.tenant, mark, page.size + 1));
  v1::ListAuditRecordsResponse response;
  const bool more = records.size() > static_cast<size_t>(page.size);
  if (more) records.pop_back();
  if (more) response.set_next_page_token(TokenOf(records.back()));
  for (v1::AuditRecord& record : records) *response.add_audit_records() = std::move(record);
  return response;
}

}  // namespace slipway::gateway
