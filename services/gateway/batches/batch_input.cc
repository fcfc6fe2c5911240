#include "services/gateway/batches/batch_input.h"

#include <utility>

#include "common/fields/json.h"
#include "common/text/text.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::gateway {
namespace {

using nlohmann::json;

constexpr DocumentLimits kLineLimits = {
    .bytes = kMaxBatchLineBytes, .depth = 32, .values = 2'000'000};
constexpr size_t kMaxCustomId = 512;

absl::StatusOr<std::string> TextOf(const json& line, const char* field) {
  const auto found = line.find(field);
  if (found == line.end() || !found->is_string()) return InvalidField(field, "must be a text");
  return found->get<std::string>();
}

// Texts may be a caller's, cut in the middle of a character.
std::string Quoted(std::string_view text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string OutputLine(std::string_view batch, const std::string& custom_id, int64_t line,
                       std::string_view response, std::string_view error) {
  return fmt::format(R"({{"id":"{}","custom_id":{},"response":{},"error":{}}})",
                     LineRequestId(batch, line), custom_id.empty() ? "null" : Quoted(custom_id),
                     response, error);
}

}  // namespace

absl::StatusOr<std::optional<InputLine>> LineReader::Next() {
  for (;;) {
    InputLine line{.number = next_.line, .begin = next_, .text = {}};
    bool too_long = false;
    int64_t bytes = 0;
    bool whole = false;
    while (!whole) {
      if (at_ == buffer_.size()) {
        if (ended_) break;
        ASSIGN_OR_RETURN(buffer_, source_->Read());
        at_ = 0;
        ended_ = buffer_.empty();
        continue;
      }
      const size_t end = buffer_.find('\n', at_);
      whole = end != std::string::npos;
      const std::string_view piece =
          std::string_view(buffer_).substr(at_, whole ? end - at_ : std::string::npos);
      at_ = whole ? end + 1 : buffer_.size();
      bytes += static_cast<int64_t>(piece.size()) + (whole ? 1 : 0);
      too_long = too_long || line.text.size() + piece.size() > kMaxBatchLineBytes;
      if (too_long) {
        line.text.clear();
      } else {
        line.text += piece;
      }
    }
    if (bytes == 0) return std::optional<InputLine>();
    next_ = {.line = next_.line + 1, .offset_bytes = next_.offset_bytes + bytes};
    if (!line.text.empty() && line.text.back() == '\r') line.text.pop_back();
    if (too_long || !WithoutBlanks(line.text).empty()) return std::optional(std::move(line));
  }
}

absl::StatusOr<BatchCall> ReadBatchCall(const InputLine& line, std::string_view endpoint,
                                        std::string& custom_id) {
  if (line.text.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("the line is longer than {} bytes", kMaxBatchLineBytes));
  }
  ASSIGN_OR_RETURN(const json read, ParseJson(line.text, "", kLineLimits));
  if (!read.is_object()) return absl::InvalidArgumentError("the line is no JSON object");
  ASSIGN_OR_RETURN(std::string id, TextOf(read, "custom_id"));
  if (id.empty() || id.size() > kMaxCustomId) {
    return InvalidField("custom_id", fmt::format("must be 1 to {} bytes", kMaxCustomId));
  }
  custom_id = id;
  ASSIGN_OR_RETURN(const std::string method, TextOf(read, "method"));
  if (method != "POST") return InvalidField("method", "must be POST");
  ASSIGN_OR_RETURN(const std::string url, TextOf(read, "url"));
  if (url != endpoint) {
    return InvalidField("url", fmt::format("must be the batch's endpoint, {}", endpoint));
  }
  const auto body = read.find("body");
  if (body == read.end() || !body->is_object()) return InvalidField("body", "must be an object");
  for (const auto& [key, value] : read.items()) {
    if (key != "custom_id" && key != "method" && key != "url" && key != "body") {
      return InvalidField(key.substr(0, 80), "is no field of a line");
    }
  }
  return BatchCall{.custom_id = std::move(id), .body = body->dump()};
}

std::string AnsweredLine(std::string_view batch, const std::string& custom_id, int64_t line,
                         int http_code, std::string_view body) {
  return OutputLine(batch, custom_id, line,
                    fmt::format(R"({{"status_code":{},"request_id":"{}","body":{}}})", http_code,
                                LineRequestId(batch, line), body),
                    "null");
}

std::string RefusedLine(std::string_view batch, const std::string& custom_id, int64_t line,
                        std::string_view code, std::string_view message) {
  return OutputLine(batch, custom_id, line, "null",
                    fmt::format(R"({{"code":{},"message":{}}})", Quoted(code), Quoted(message)));
}

std::string LineRequestId(std::string_view batch, int64_t line) {
  return fmt::format("{}-{}", batch, line);
}

}  // namespace slipway::gateway
