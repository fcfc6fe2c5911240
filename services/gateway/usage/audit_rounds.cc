#include "services/gateway/usage/audit_rounds.h"

#include <algorithm>
#include <utility>

#include "common/files/files.h"
#include "common/log/log.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::gateway {

AuditRounds::AuditRounds(AuditLog& log, Refusals& refusals, std::string heads_file,
                         absl::Duration interval)
    : log_(log), refusals_(refusals), heads_file_(std::move(heads_file)), interval_(interval) {}

void AuditRounds::Start() {
  thread_.Start(interval_, RepeatingThread::First::kAfterInterval, [this] {
    const absl::Status status = Go();
    if (!status.ok()) Log(Severity::kWarning, "audit_heads_not_exported", {{"error", status}});
  });
}

absl::Status AuditRounds::Go() {
  refusals_.EndMinute();
  ASSIGN_OR_RETURN(const std::vector<AuditHead> exported, ReadHeads(heads_file_));
  ASSIGN_OR_RETURN(std::vector<AuditHead> heads, log_.Heads());
  for (const AuditHead& before : exported) {
    ASSIGN_OR_RETURN(const bool held, log_.Holds(before));
    if (held) continue;
    Log(Severity::kError, "audit_chain_changed",
        {{"writer", before.writer}, {"number", before.number}});
    std::erase_if(heads, [&](const AuditHead& head) { return head.writer == before.writer; });
    heads.push_back(before);
  }
  if (heads == exported) return absl::OkStatus();
  std::string lines;
  for (const AuditHead& head : heads) {
    lines += fmt::format(R"({{"writer":"{}","number":{},"mac":"{}"}})", head.writer, head.number,
                         head.mac) +
             "\n";
    if (std::find(exported.begin(), exported.end(), head) != exported.end()) continue;
    Log(Severity::kInfo, "audit_head_exported",
        {{"writer", head.writer}, {"number", head.number}, {"mac", head.mac}});
  }
  return WriteFileAtomically(heads_file_, lines, 0600);
}

absl::StatusOr<std::vector<AuditHead>> ReadHeads(const std::string& heads_file) {
  std::vector<AuditHead> heads;
  const absl::StatusOr<std::string> text = ReadFile(heads_file, 16 << 20);
  if (absl::IsNotFound(text.status())) return heads;
  RETURN_IF_ERROR(text.status());
  for (size_t begin = 0; begin < text->size();) {
    const size_t end = std::min(text->find('\n', begin), text->size());
    const auto line = nlohmann::json::parse(text->substr(begin, end - begin), nullptr, false);
    begin = end + 1;
    if (!line.is_object() || !line.contains("writer") || !line["writer"].is_string() ||
        !line.contains("number") || !line["number"].is_number_integer() || !line.contains("mac") ||
        !line["mac"].is_string()) {
      return absl::InvalidArgumentError(
          fmt::format("{} holds a line that is no head of a chain", heads_file));
    }
    heads.push_back({line["writer"], line["number"], line["mac"]});
  }
  return heads;
}

}  // namespace slipway::gateway
