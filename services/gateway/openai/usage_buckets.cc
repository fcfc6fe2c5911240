#include "services/gateway/openai/usage_buckets.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "common/http/uri.h"
#include "common/text/text.h"
#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "nlohmann/json.hpp"
#include "services/gateway/api/pages.h"
#include "services/gateway/openai/objects.h"
#include "slipway/gateway/v1/usage.pb.h"

namespace slipway::gateway::openai {
namespace {

using google::protobuf::util::TimeUtil;
using nlohmann::json;

constexpr int64_t kHour = 3600;
constexpr int64_t kDay = 24 * kHour;
constexpr int64_t kMaxBuckets = 180;
// Usage that has more rows than these pages is refused, not read for ever.
constexpr int kMaxPages = 20;

json OrNull(const std::string& text) { return text.empty() ? json(nullptr) : json(text); }

// What ungrouped sums do not say is empty there, and null here.
json CompletionsResult(const v1::UsageTotal& total) {
  return {{"object", "organization.usage.completions.result"},
          {"num_model_requests", total.count()},
          // No call has tokens yet.
          {"input_tokens", 0},
          {"output_tokens", 0},
          {"project_id", OrNull(total.project())},
          {"api_key_id", OrNull(total.key_id())},
          {"model", OrNull(IdOf(total.resource()))},
          {"user_id", nullptr},
          {"batch", nullptr}};
}

json CostsResult(const v1::UsageTotal& total) {
  const bool of_one_kind = !total.kind().empty();
  return {{"object", "organization.costs.result"},
          // The operator's prices are in a unit of its own.
          {"amount", {{"value", static_cast<double>(total.units()) / 1e6}, {"currency", nullptr}}},
          {"line_item", OrNull(total.kind())},
          {"quantity", of_one_kind ? json(total.quantity()) : json(nullptr)},
          {"quantity_unit", total.kind() == "training_seconds" ? json("duration_seconds") : json()},
          {"project_id", OrNull(total.project())},
          {"api_key_id", OrNull(total.key_id())},
          {"user_id", nullptr}};
}

// What a query asks for: one page of buckets.
struct Buckets {
  int64_t start = 0;
  int64_t end = 0;
  int64_t width = kDay;
  bool more = false;
  v1::QueryUsageRequest ask;
  std::map<int64_t, json> results = {};  // by their buckets' starts
  int pages = 0;
};

}  // namespace

// What the two lists differ in.
struct UsageBuckets::Form {
  /// What it may be grouped by: OpenAI's name, and the ledger's.
  std::array<std::pair<std::string_view, const char*>, 3> groups;
  /// May it be of an hour, and of one model alone?
  bool fine = false;
  const char* kind = "";
  json (*render)(const v1::UsageTotal& total) = nullptr;

  absl::StatusOr<Buckets> Read(const Request& request, int64_t now) const;
  absl::Status ReadGroup(const std::string& value, v1::QueryUsageRequest& ask) const;
};

absl::Status UsageBuckets::Form::ReadGroup(const std::string& value,
                                           v1::QueryUsageRequest& ask) const {
  for (const auto& [name, ours] : groups) {
    if (value != name) continue;
    ask.add_group_by(ours);
    return absl::OkStatus();
  }
  return InvalidField("group_by", fmt::format("must be of {}, {} and {}", groups[0].first,
                                              groups[1].first, groups[2].first));
}

absl::StatusOr<Buckets> UsageBuckets::Form::Read(const Request& request, int64_t now) const {
  Buckets read;
  v1::QueryUsageRequest& ask = read.ask;
  ask.set_tenant(request.tenant);
  ask.set_kind(kind);
  ask.set_page_size(Page::kMaxSize);
  ask.add_group_by("day");
  std::map<std::string, int64_t> numbers;
  ASSIGN_OR_RETURN(const auto parameters, http::ParseQuery(request.exchange->head().query()));
  for (auto [name, value] : parameters) {
    if (name.ends_with("[]")) name.resize(name.size() - 2);
    // Lists of one: the ledger is asked for one at a time.
    std::string* const only = name == "project_ids"      ? ask.mutable_project()
                              : name == "api_key_ids"    ? ask.mutable_key_id()
                              : fine && name == "models" ? ask.mutable_resource()
                                                         : nullptr;
    if (only != nullptr) {
      if (!only->empty()) return InvalidField(name, "can be of one only");
      *only = name == "models" ? fmt::format("{}/deployments/{}", request.tenant, value) : value;
    } else if (name == "group_by") {
      RETURN_IF_ERROR(ReadGroup(value, ask));
    } else if (name == "bucket_width") {
      if (value != "1d" && !(fine && value == "1h")) {
        return InvalidField(name, fine ? "must be 1d or 1h" : "must be 1d");
      }
      if (value == "1h") {
        read.width = kHour;
        ask.set_group_by(0, "hour");
      }
    } else if (name == "start_time" || name == "end_time" || name == "limit" || name == "page") {
      const std::optional<int64_t> number = ParseNumber<int64_t>(value);
      if (!number || *number < 0 || *number > TimeUtil::kTimestampMaxSeconds) {
        return InvalidField(name, "must be a whole number, not negative");
      }
      numbers[name] = *number;
    } else {
      return InvalidField(name.substr(0, 80), "is no parameter of this list");
    }
  }
  if (!numbers.contains("start_time")) return InvalidField("start_time", "is missing");
  const int64_t begin = numbers.contains("page") ? numbers["page"] : numbers["start_time"];
  const int64_t end = numbers.contains("end_time") ? std::min(numbers["end_time"], now) : now;
  const int64_t usual = read.width == kDay ? 7 : 24;
  const int64_t limit =
      numbers.contains("limit") ? std::clamp<int64_t>(numbers["limit"], 1, kMaxBuckets) : usual;
  read.start = begin / read.width * read.width;
  const int64_t last = (std::max(end, read.start) + read.width - 1) / read.width * read.width;
  read.end = std::min(read.start + limit * read.width, last);
  read.more = read.end < last;
  ask.mutable_start_time()->set_seconds(read.start);
  ask.mutable_end_time()->set_seconds(read.end);
  return read;
}

namespace {

json PageOf(const Buckets& read) {
  json data = json::array();
  for (int64_t start = read.start; start < read.end; start += read.width) {
    const auto found = read.results.find(start);
    data.push_back({{"object", "bucket"},
                    {"start_time", start},
                    {"end_time", start + read.width},
                    {"results", found == read.results.end() ? json::array() : found->second}});
  }
  return {{"object", "page"},
          {"data", std::move(data)},
          {"has_more", read.more},
          {"next_page", read.more ? json(std::to_string(read.end)) : json(nullptr)}};
}

template <class Render>
void ReadOn(InnerCalls& calls, const RequestPtr& request, std::shared_ptr<Buckets> read,
            Render render) {
  calls.Call<v1::QueryUsageResponse>(
      "UsageService/QueryUsage", *request->exchange, request->key, read->ask,
      [&calls, request, read, render](const absl::StatusOr<const v1::QueryUsageResponse*>& answer) {
        if (!answer.ok()) return request->Refuse(answer.status());
        for (const v1::UsageTotal& total : (*answer)->totals()) {
          read->results[total.time().seconds()].push_back(render(total));
        }
        if ((*answer)->next_page_token().empty()) return request->Answer(PageOf(*read));
        if (++read->pages == kMaxPages) {
          return request->Refuse(InvalidField("limit", "is too many for so much usage"));
        }
        read->ask.set_page_token((*answer)->next_page_token());
        ReadOn(calls, request, read, render);
      });
}

}  // namespace

void UsageBuckets::Completions(const RequestPtr& request) {
  Answer(request,
         {.groups = {{{"project_id", "project"}, {"api_key_id", "key"}, {"model", "resource"}}},
          .fine = true,
          .kind = "inference",
          .render = CompletionsResult});
}

void UsageBuckets::Costs(const RequestPtr& request) {
  Answer(request,
         {.groups = {{{"project_id", "project"}, {"api_key_id", "key"}, {"line_item", "kind"}}},
          .render = CostsResult});
}

void UsageBuckets::Answer(const RequestPtr& request, const Form& form) {
  // Of the second that has begun, too.
  absl::StatusOr<Buckets> read = form.Read(*request, absl::ToUnixSeconds(clock_.Now()) + 1);
  if (!read.ok()) return request->Refuse(read.status());
  ReadOn(calls_, request, std::make_shared<Buckets>(*std::move(read)), form.render);
}

}  // namespace slipway::gateway::openai
