#include "services/gateway/openai/objects.h"

#include <algorithm>
#include <optional>

#include "common/http/uri.h"
#include "common/text/text.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::gateway::openai {
namespace {

using nlohmann::json;

json IdOrNull(const std::string& name) { return name.empty() ? json(nullptr) : json(IdOf(name)); }

std::string_view StatusOf(v1::Batch::State state) {
  switch (state) {
    case v1::Batch::VALIDATING:
      return "validating";
    case v1::Batch::FINALIZING:
      return "finalizing";
    case v1::Batch::COMPLETED:
      return "completed";
    case v1::Batch::FAILED:
      return "failed";
    case v1::Batch::EXPIRED:
      return "expired";
    case v1::Batch::CANCELLING:
      return "cancelling";
    case v1::Batch::CANCELLED:
      return "cancelled";
    default:
      return "in_progress";
  }
}

// "24h", "90m", "61s".
std::string Window(int64_t seconds) {
  if (seconds % 3600 == 0) return fmt::format("{}h", seconds / 3600);
  if (seconds % 60 == 0) return fmt::format("{}m", seconds / 60);
  return fmt::format("{}s", seconds);
}

json ErrorsOf(const v1::Batch& batch) {
  if (batch.errors().empty()) return nullptr;
  json data = json::array();
  for (const v1::Batch::Error& error : batch.errors()) {
    data.push_back({{"code", error.code()},
                    {"message", error.message()},
                    {"param", nullptr},
                    {"line", error.line() == 0 ? json(nullptr) : json(error.line())}});
  }
  return {{"object", "list"}, {"data", std::move(data)}};
}

}  // namespace

std::string IdOf(std::string_view name) { return std::string(name.substr(name.rfind('/') + 1)); }

json ModelObject(const Endpoint& endpoint) {
  return {{"id", endpoint.name},
          {"object", "model"},
          // When it was deployed is the controller's to know.
          {"created", 0},
          {"owned_by", endpoint.tenant}};
}

json FileObject(const registry::v1::Dataset& dataset) {
  return {{"id", IdOf(dataset.name())},
          {"object", "file"},
          {"bytes", dataset.size_bytes()},
          {"created_at", dataset.create_time().seconds()},
          {"expires_at", nullptr},
          {"filename", dataset.files_size() == 0 ? "" : dataset.files(0).path()},
          {"purpose", dataset.purpose()},
          {"status", "processed"},
          {"status_details", nullptr}};
}

json BatchObject(const v1::Batch& batch) {
  const auto at = [](bool has, const google::protobuf::Timestamp& time) {
    return has ? json(time.seconds()) : json(nullptr);
  };
  const auto ended_as = [&](v1::Batch::State state) {
    return at(batch.state() == state && batch.has_end_time(), batch.end_time());
  };
  json metadata = nullptr;
  for (const auto& entry : batch.metadata()) metadata[entry.first] = entry.second;
  return {{"id", IdOf(batch.name())},
          {"object", "batch"},
          {"endpoint", batch.endpoint()},
          {"errors", ErrorsOf(batch)},
          {"input_file_id", IdOf(batch.input_dataset())},
          {"completion_window", Window(batch.completion_window().seconds())},
          {"status", StatusOf(batch.state())},
          {"output_file_id", IdOrNull(batch.output_dataset())},
          {"error_file_id", IdOrNull(batch.error_dataset())},
          {"created_at", batch.create_time().seconds()},
          {"in_progress_at", at(batch.has_start_time(), batch.start_time())},
          {"expires_at", at(batch.has_expire_time(), batch.expire_time())},
          {"finalizing_at", at(batch.has_finalize_time(), batch.finalize_time())},
          {"completed_at", ended_as(v1::Batch::COMPLETED)},
          {"failed_at", ended_as(v1::Batch::FAILED)},
          {"expired_at", ended_as(v1::Batch::EXPIRED)},
          {"cancelling_at", at(batch.has_cancel_time(), batch.cancel_time())},
          {"cancelled_at", ended_as(v1::Batch::CANCELLED)},
          {"request_counts",
           {{"total", batch.total_lines()},
            {"completed", batch.completed_lines()},
            {"failed", batch.failed_lines()}}},
          {"metadata", std::move(metadata)}};
}

json Deleted(std::string_view id, std::string_view object) {
  return {{"id", id}, {"object", object}, {"deleted", true}};
}

json ListObject(json data, bool has_more) {
  json first = data.empty() ? json(nullptr) : data.front()["id"];
  json last = data.empty() ? json(nullptr) : data.back()["id"];
  return {{"object", "list"},
          {"data", std::move(data)},
          {"first_id", std::move(first)},
          {"last_id", std::move(last)},
          {"has_more", has_more}};
}

absl::StatusOr<ListQuery> ListQuery::Read(std::string_view query, int default_limit, int max_limit,
                                          const std::vector<std::string_view>& known) {
  ListQuery read;
  read.limit = default_limit;
  ASSIGN_OR_RETURN(auto parameters, http::ParseQuery(query));
  for (auto& [name, value] : parameters) {
    if (name == "after") {
      read.after = value;
    } else if (name == "limit") {
      const std::optional<int> limit = ParseNumber<int>(value);
      if (!limit || *limit < 1) return InvalidField("limit", "must be a number from 1");
      read.limit = std::min(*limit, max_limit);
    } else if (name == "order") {
      if (value != "asc" && value != "desc") return InvalidField("order", "must be asc or desc");
      read.ascending = value == "asc";
    } else if (std::find(known.begin(), known.end(), name) != known.end()) {
      read.others.emplace_back(name, value);
    } else {
      return InvalidField(name.substr(0, 80), "is no parameter of this list");
    }
  }
  return read;
}

std::string ListQuery::Get(std::string_view name) const {
  for (const auto& [other, value] : others) {
    if (other == name) return value;
  }
  return "";
}

}  // namespace slipway::gateway::openai
