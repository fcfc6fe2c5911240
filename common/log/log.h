#ifndef SLIPWAY_COMMON_LOG_LOG_H_
#define SLIPWAY_COMMON_LOG_LOG_H_

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

#include "absl/time/time.h"
#include "common/status/status.h"

// One JSON object a line, one line an event:
//
//   {"time":"2026-01-31T12:00:00.123456Z","level":"info","service":"training",
//    "event":"job_started","job":"tenants/acme/jobs/j1","request_id":"5f..."}
//
// An event is a verb in the past tense and names its object; the request id and the tenant are
// fields `request_id` and `tenant` wherever there are such.
namespace slipway {

enum class Severity { kDebug, kInfo, kWarning, kError };

/// What a log field may hold. Views are read during the call only. Whatever has no constructor
/// here (a Secret above all) does not compile as a field.
class LogValue {
 public:
  template <class T>
    requires std::same_as<T, bool>
  LogValue(T value) : value_(value) {}
  template <std::integral T>
    requires(!std::same_as<T, bool>)
  LogValue(T value) {
    if constexpr (std::unsigned_integral<T>) {
      value_ = static_cast<uint64_t>(value);
    } else {
      value_ = static_cast<int64_t>(value);
    }
  }
  LogValue(double value) : value_(value) {}
  LogValue(const char* text) : value_(std::string_view(text)) {}
  LogValue(std::string_view text) : value_(text) {}
  LogValue(const std::string& text) : value_(std::string_view(text)) {}
  /// Seconds, as a number.
  LogValue(absl::Duration duration) : value_(absl::ToDoubleSeconds(duration)) {}
  LogValue(absl::Time time) : value_(time) {}
  /// "NOT_FOUND: tenants/acme/models/m was not found"; payloads are left out.
  LogValue(const absl::Status& status) : value_(&status) {}

 private:
  friend struct LogLine;
  std::variant<bool, int64_t, uint64_t, double, std::string_view, absl::Time, const absl::Status*>
      value_;
};

struct LogField {
  std::string_view key;
  LogValue value;
};

/// Writes one line, unless the level is set higher. Any thread. Never fails: where the sink
/// cannot take the line (a full disk), it is lost, and standard error says so.
/// Text is escaped, bytes that are not UTF-8 become U+FFFD, and a text over 16 KiB is cut, so
/// that a line is one line whatever a caller sends.
///
///     Log(Severity::kInfo, "job_started", {{"job", name}, {"request_id", id}});
void Log(Severity severity, std::string_view event, std::initializer_list<LogField> fields = {});

/// Would a line of this severity be written? For fields that cost something to make.
bool LogEnabled(Severity severity);

/// Part of each service's config struct, as `log`.
struct LogConfig {
  std::string level = "info";
  std::string file;
  int64_t max_file_bytes = 64 << 20;
  int max_files = 5;

  template <class V>
  void Describe(V& v) {
    v.Choice("level", level, {"debug", "info", "warning", "error"},
             "The least severe that is written");
    v.Field("file", file, "JSON lines go here; empty: to standard error");
    v.Field("max_file_bytes", max_file_bytes, "A file that reaches this size is put aside",
            {.min = 4096});
    v.Field("max_files", max_files, "How many files put aside are kept", {.min = 1, .max = 1000});
  }
};

/// Says where lines go; until then they go to standard error from level info on. Once at the
/// start of a program, before its threads; ServiceMain does it. `service` is in every line.
/// Errors: the file cannot be opened, or the level is none.
absl::Status InitLogging(std::string_view service, const LogConfig& config);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_LOG_LOG_H_
