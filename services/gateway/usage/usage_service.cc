#include "services/gateway/usage/usage_service.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/log/log.h"
#include "common/names/names.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "google/api/httpbody.pb.h"
#include "google/protobuf/util/time_util.h"
#include "services/gateway/api/pages.h"
#include "services/gateway/api/transcoder.h"
#include "services/gateway/usage/usage_csv.h"

namespace slipway::gateway {
namespace {

using google::protobuf::util::TimeUtil;

// A full batch takes some milliseconds; a list that lacks the last seconds is better than none.
constexpr absl::Duration kCatchUp = absl::Seconds(2);
// Rows of one piece of an export.
constexpr int kExportRows = 1000;
// Behind each value of a group in a page's token; no value holds it.
constexpr char kEnd = '\n';

template <class Record>
std::pair<int64_t, std::string> MarkOf(const Record& record) {
  return {TimeUtil::TimestampToMicroseconds(record.time()), record.id()};
}

// As ReadMark takes it.
template <class Record>
std::string MarkTextOf(const Record& record) {
  const auto [time, id] = MarkOf(record);
  return fmt::format("{} {}", time, id);
}

absl::StatusOr<std::optional<std::pair<int64_t, std::string>>> ReadMark(const Page& page) {
  std::optional<std::pair<int64_t, std::string>> mark;
  if (page.after.empty()) return mark;
  mark.emplace();
  const char* const begin = page.after.data();
  const char* const end = begin + page.after.size();
  const auto [after, error] = std::from_chars(begin, end, mark->first);
  if (error != std::errc() || after == end || *after != ' ') {
    return Page::NoToken();
  }
  mark->second.assign(after + 1, end);
  return mark;
}

absl::StatusOr<absl::Time> ReadTime(std::string_view field,
                                    const google::protobuf::Timestamp& time) {
  if (time.seconds() < TimeUtil::kTimestampMinSeconds ||
      time.seconds() > TimeUtil::kTimestampMaxSeconds) {
    return InvalidField(field, "is no time between the years 1 and 9999");
  }
  return FromTimestamp(time);
}

// What a request says of time, into a query's start and end.
template <class Request, class Query>
absl::Status ReadTimes(const Request& request, Query& query) {
  if (request.has_start_time()) {
    ASSIGN_OR_RETURN(query.start, ReadTime("startTime", request.start_time()));
  }
  if (request.has_end_time()) {
    ASSIGN_OR_RETURN(query.end, ReadTime("endTime", request.end_time()));
  }
  if (query.end < query.start) return InvalidField("endTime", "must not be before startTime");
  return absl::OkStatus();
}

// Whose rows: "" is all tenants', which only the operator gets.
absl::StatusOr<std::string> TenantFor(const Principal& who, const std::string& asked) {
  if (asked.empty()) return who.tenant;
  ASSIGN_OR_RETURN(TenantName name, TenantName::Parse("tenant", asked));
  if (!who.MayAccess(name.tenant)) return NotFound(asked);
  return std::move(name.tenant);
}

absl::StatusOr<AuditQuery> ReadQuery(const Principal& who, const v1::QueryAuditRequest& request) {
  AuditQuery query;
  ASSIGN_OR_RETURN(query.tenant, TenantFor(who, request.tenant()));
  RETURN_IF_ERROR(ReadTimes(request, query));
  query.key_id = request.key_id();
  query.resource = request.resource();
  query.request_id = request.request_id();
  switch (request.kind()) {
    case v1::QueryAuditRequest::KIND_UNSPECIFIED:
      break;
    case v1::QueryAuditRequest::CHANGES:
      query.kind = AuditQuery::Kind::kChanges;
      break;
    case v1::QueryAuditRequest::REFUSALS:
      query.kind = AuditQuery::Kind::kRefusals;
      break;
    default:
      return InvalidField("kind", "must be CHANGES or REFUSALS");
  }
  return query;
}

// The rows behind `list.after` as pieces of an export, a page of them each.
template <class List, class Read, class Render, class Mark>
LocalMethods::Pieces Export(std::string content_type, std::string head, List list, Read read,
                            Render render, Mark mark) {
  list.newest_first = false;
  list.limit = kExportRows;
  return [list = std::move(list), head = std::move(head), content_type = std::move(content_type),
          done = false, read, render,
          mark](google::protobuf::Message& message) mutable -> absl::StatusOr<bool> {
    if (done) return false;
    ASSIGN_OR_RETURN(const auto rows, read(list));
    auto& body = dynamic_cast<google::api::HttpBody&>(message);
    body.set_content_type(content_type);
    std::string text = std::exchange(head, "");
    for (const auto& row : rows) text += render(row);
    done = rows.size() < static_cast<size_t>(list.limit);
    if (!rows.empty()) list.after = mark(rows.back());
    if (text.empty()) return false;
    body.set_data(std::move(text));
    return true;
  };
}

std::string Summary(const v1::CallExplanation& explanation) {
  if (explanation.usage_records_size() > 0) {
    const v1::UsageRecord& row = explanation.usage_records(0);
    const std::string fallback =
        row.asked_for().empty() ? "" : fmt::format(", the fallback of {}", row.asked_for());
    return fmt::format("charged: {:g} of {} on {}{}{}", row.quantity(), row.kind(), row.resource(),
                       fallback,
                       row.broken()             ? "; the gateway was killed before the answer's end"
                       : row.http_code() == 499 ? "; the caller left before the answer's end"
                                                : "");
  }
  const v1::AuditRecord& row = explanation.audit_records(0);
  if (row.reason().empty()) {
    return fmt::format("not charged: {} is a change, answered {}", row.method(),
                       row.http_code() == 0 ? "by nobody: the gateway was killed"
                                            : std::to_string(row.http_code()));
  }
  int64_t count = 0;
  for (const v1::AuditRecord& each : explanation.audit_records()) {
    count = std::max(count, each.count());
  }
  return fmt::format("refused with {}, not charged: {}; {} such in its minute", row.http_code(),
                     row.reason(), count);
}

}  // namespace

void UsageService::AddTo(LocalMethods& methods) {
  const std::string usage = "slipway.gateway.v1.UsageService/";
  const std::string audit = "slipway.gateway.v1.AuditService/";
  methods.Add<v1::GetUsageRequest, v1::Usage>(
      usage + "GetUsage",
      [this](const Principal&, const auto& request) { return GetUsage(request); });
  methods.Add<v1::ListUsageRecordsRequest, v1::ListUsageRecordsResponse>(
      usage + "ListUsageRecords",
      [this](const Principal&, const auto& request) { return ListUsageRecords(request); });
  methods.Add<v1::QueryUsageRequest, v1::QueryUsageResponse>(
      usage + "QueryUsage",
      [this](const Principal& who, const auto& request) { return QueryUsage(who, request); });
  methods.AddStream<v1::ExportUsageRequest>(
      usage + "ExportUsage",
      [this](const Principal& who, const auto& request) { return ExportUsage(who, request); });
  methods.Add<v1::ExplainCallRequest, v1::CallExplanation>(
      usage + "ExplainCall",
      [this](const Principal& who, const auto& request) { return ExplainCall(who, request); });
  methods.Add<v1::ListAuditRecordsRequest, v1::ListAuditRecordsResponse>(
      audit + "ListAuditRecords",
      [this](const Principal&, const auto& request) { return ListAuditRecords(request); });
  methods.Add<v1::QueryAuditRequest, v1::ListAuditRecordsResponse>(
      audit + "QueryAudit",
      [this](const Principal& who, const auto& request) { return QueryAudit(who, request); });
  methods.AddStream<v1::QueryAuditRequest>(
      audit + "ExportAudit",
      [this](const Principal& who, const auto& request) { return ExportAudit(who, request); });
}

void UsageService::CatchUp() {
  const absl::Status status = feed_.Flush(kCatchUp);
  if (!status.ok()) Log(Severity::kWarning, "ledger_read_behind", {{"error", status}});
}

absl::StatusOr<v1::Usage> UsageService::GetUsage(const v1::GetUsageRequest& request) {
  UsageQuery query;
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  query.tenant = tenant.tenant;
  RETURN_IF_ERROR(ReadTimes(request, query));
  query.group_by = {"kind", "resource", "key"};
  query.limit = Page::kMaxSize;
  CatchUp();
  v1::Usage usage;
  for (;;) {
    ASSIGN_OR_RETURN(auto totals, ledger_.Totals(query));
    const bool more = totals.size() == static_cast<size_t>(query.limit);
    if (more) query.after = GroupOf(totals.back(), query.group_by);
    for (v1::UsageTotal& total : totals) *usage.add_totals() = std::move(total);
    if (!more) return usage;
  }
}

absl::StatusOr<v1::QueryUsageResponse> UsageService::QueryUsage(
    const Principal& who, const v1::QueryUsageRequest& request) {
  UsageQuery query;
  ASSIGN_OR_RETURN(query.tenant, TenantFor(who, request.tenant()));
  RETURN_IF_ERROR(ReadTimes(request, query));
  query.project = request.project();
  query.key_id = request.key_id();
  query.kind = request.kind();
  query.model = request.model();
  query.resource = request.resource();
  for (const std::string& group : request.group_by()) {
    if (!IsUsageGroup(group)) {
      return InvalidField("groupBy",
                          "must be of tenant, project, key, kind, resource, model, version, day, "
                          "hour");
    }
    if (std::find(query.group_by.begin(), query.group_by.end(), group) != query.group_by.end()) {
      return InvalidField("groupBy", fmt::format("has {} twice", group));
    }
    query.group_by.push_back(group);
  }
  if (query.group_by.empty()) query.group_by = {"kind"};
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  for (size_t begin = 0; begin < page.after.size();) {
    const size_t end = page.after.find(kEnd, begin);
    if (end == std::string::npos) {
      return Page::NoToken();
    }
    query.after.push_back(page.after.substr(begin, end - begin));
    begin = end + 1;
  }
  query.limit = page.size + 1;
  CatchUp();
  ASSIGN_OR_RETURN(auto totals, ledger_.Totals(query));
  v1::QueryUsageResponse response;
  page.Fill(
      std::move(totals), response,
      [&](v1::UsageTotal&& total) { *response.add_totals() = std::move(total); },
      [&](const v1::UsageTotal& last) {
        std::string group;
        for (const std::string& value : GroupOf(last, query.group_by)) group += value + kEnd;
        return group;
      });
  return response;
}

absl::StatusOr<LocalMethods::Pieces> UsageService::ExportUsage(
    const Principal& who, const v1::ExportUsageRequest& request) {
  UsageList list;
  ASSIGN_OR_RETURN(list.tenant, TenantFor(who, request.tenant()));
  RETURN_IF_ERROR(ReadTimes(request, list));
  CatchUp();
  return Export(
      "text/csv; charset=utf-8", UsageCsvHead(), std::move(list),
      [this](const UsageList& rows) { return ledger_.ListUsage(rows); }, UsageCsvLine,
      [](const v1::UsageRecord& last) {
        auto [time, id] = MarkOf(last);
        return UsageList::Mark{last.tenant(), time, std::move(id)};
      });
}

absl::StatusOr<v1::CallExplanation> UsageService::ExplainCall(
    const Principal& who, const v1::ExplainCallRequest& request) {
  if (request.request_id().empty()) return InvalidField("requestId", "must be given");
  CatchUp();
  v1::CallExplanation explanation;
  explanation.set_request_id(request.request_id());
  UsageList usage;
  usage.tenant = who.tenant;
  usage.request_id = request.request_id();
  ASSIGN_OR_RETURN(auto rows, ledger_.ListUsage(usage));
  for (v1::UsageRecord& row : rows) *explanation.add_usage_records() = std::move(row);
  AuditQuery audit;
  audit.tenant = who.tenant;
  audit.request_id = request.request_id();
  ASSIGN_OR_RETURN(auto records, audit_.List(audit));
  for (v1::AuditRecord& each : records) *explanation.add_audit_records() = std::move(each);
  if (rows.empty() && records.empty()) {
    return absl::NotFoundError(fmt::format(
        "request {} was not charged and changed nothing; where it was refused, it was not the "
        "first such in its minute",
        request.request_id()));
  }
  explanation.set_summary(Summary(explanation));
  return explanation;
}

absl::StatusOr<v1::ListUsageRecordsResponse> UsageService::ListUsageRecords(
    const v1::ListUsageRecordsRequest& request) {
  UsageList list;
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  list.tenant = tenant.tenant;
  ASSIGN_OR_RETURN(const Page page, Page::Read(request.page_size(), request.page_token()));
  ASSIGN_OR_RETURN(const auto mark, ReadMark(page));
  if (mark) list.after = {list.tenant, mark->first, mark->second};
  list.limit = page.size + 1;
  CatchUp();
  ASSIGN_OR_RETURN(auto records, ledger_.ListUsage(list));
  v1::ListUsageRecordsResponse response;
  page.Fill(
      std::move(records), response,
      [&](v1::UsageRecord&& record) { *response.add_usage_records() = std::move(record); },
      MarkTextOf<v1::UsageRecord>);
  return response;
}

absl::StatusOr<v1::ListAuditRecordsResponse> UsageService::ListAudit(
    AuditQuery query, int32_t page_size, const std::string& page_token) {
  ASSIGN_OR_RETURN(const Page page, Page::Read(page_size, page_token));
  ASSIGN_OR_RETURN(query.after, ReadMark(page));
  query.limit = page.size + 1;
  CatchUp();
  ASSIGN_OR_RETURN(auto records, audit_.List(query));
  v1::ListAuditRecordsResponse response;
  page.Fill(
      std::move(records), response,
      [&](v1::AuditRecord&& record) { *response.add_audit_records() = std::move(record); },
      MarkTextOf<v1::AuditRecord>);
  return response;
}

absl::StatusOr<v1::ListAuditRecordsResponse> UsageService::ListAuditRecords(
    const v1::ListAuditRecordsRequest& request) {
  AuditQuery query;
  ASSIGN_OR_RETURN(const TenantName tenant, TenantName::Parse("parent", request.parent()));
  query.tenant = tenant.tenant;
  return ListAudit(std::move(query), request.page_size(), request.page_token());
}

absl::StatusOr<v1::ListAuditRecordsResponse> UsageService::QueryAudit(
    const Principal& who, const v1::QueryAuditRequest& request) {
  ASSIGN_OR_RETURN(AuditQuery query, ReadQuery(who, request));
  return ListAudit(std::move(query), request.page_size(), request.page_token());
}

absl::StatusOr<LocalMethods::Pieces> UsageService::ExportAudit(
    const Principal& who, const v1::QueryAuditRequest& request) {
  ASSIGN_OR_RETURN(AuditQuery query, ReadQuery(who, request));
  CatchUp();
  return Export(
      "application/x-ndjson", "", std::move(query),
      [this](const AuditQuery& rows) { return audit_.List(rows); },
      [](const v1::AuditRecord& record) { return ToJson(record) + "\n"; }, MarkOf<v1::AuditRecord>);
}

}  // namespace slipway::gateway
