#include "common/log/log.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <memory>
#include <utility>
#include <vector>

#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "spdlog/logger.h"
#include "spdlog/sinks/rotating_file_sink.h"
#include "spdlog/sinks/stdout_sinks.h"

namespace slipway {
namespace {

constexpr size_t kMaxText = 16 << 10;

constexpr std::pair<Severity, std::string_view> kNames[] = {{Severity::kDebug, "debug"},
                                                            {Severity::kInfo, "info"},
                                                            {Severity::kWarning, "warning"},
                                                            {Severity::kError, "error"}};

std::string_view NameOf(Severity severity) { return kNames[static_cast<int>(severity)].second; }

using Buffer = fmt::memory_buffer;

void Append(Buffer& out, std::string_view text) { out.append(text); }

void AppendQuoted(Buffer& out, std::string_view text) {
  std::string shown(text.substr(0, kMaxText));
  if (text.size() > kMaxText) shown += fmt::format("... ({} bytes in all)", text.size());
  Append(out, nlohmann::json(std::move(shown))
                  .dump(-1, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace));
}

void AppendTime(Buffer& out, absl::Time time) {
  Append(out, "\"");
  Append(out, absl::FormatTime("%Y-%m-%d%ET%H:%M:%E6SZ", time, absl::UTCTimeZone()));
  Append(out, "\"");
}

// Where lines go.
struct Output {
  std::string service;
  std::shared_ptr<spdlog::logger> logger;
};

std::unique_ptr<Output> MakeOutput(std::string_view service, spdlog::sink_ptr sink) {
  auto output = std::make_unique<Output>();
  output->service = service;
  output->logger = std::make_shared<spdlog::logger>(output->service, std::move(sink));
  output->logger->set_level(spdlog::level::trace);  // Log() has chosen already
  output->logger->set_pattern("%v");
  // A line that stays in a buffer is missing just when somebody looks why the program died.
  output->logger->flush_on(spdlog::level::trace);
  output->logger->set_error_handler([](const std::string& problem) {
    std::fprintf(stderr, "a log line was lost: %s\n", problem.c_str());
  });
  return output;
}

std::atomic<Severity> least_severity = Severity::kInfo;
std::atomic<const Output*> current_output = nullptr;

// Outputs are kept to the end of the program: another thread may be writing through an old one.
void Install(std::unique_ptr<Output> output) {
  static Mutex& mutex = *new Mutex;
  static auto& kept = *new std::vector<std::unique_ptr<Output>>;
  MutexLock lock(mutex);
  current_output.store(output.get());
  kept.push_back(std::move(output));
}

const Output& CurrentOutput() {
  if (const Output* output = current_output.load()) return *output;
  static const Output& before_init =
      *MakeOutput("slipway", std::make_shared<spdlog::sinks::stderr_sink_mt>()).release();
  return before_init;
}

}  // namespace

// Reads the values, which are private to LogValue.
struct LogLine {
  static void Append(Buffer& out, const LogValue& value) {
    if (const auto* truth = std::get_if<bool>(&value.value_)) {
      slipway::Append(out, *truth ? "true" : "false");
    } else if (const auto* number = std::get_if<int64_t>(&value.value_)) {
      fmt::format_to(std::back_inserter(out), "{}", *number);
    } else if (const auto* number = std::get_if<uint64_t>(&value.value_)) {
      fmt::format_to(std::back_inserter(out), "{}", *number);
    } else if (const auto* number = std::get_if<double>(&value.value_)) {
      // JSON has no infinity and no NaN.
      if (std::isfinite(*number)) {
        fmt::format_to(std::back_inserter(out), "{}", *number);
      } else {
        fmt::format_to(std::back_inserter(out), "\"{}\"", *number);
      }
    } else if (const auto* text = std::get_if<std::string_view>(&value.value_)) {
      AppendQuoted(out, *text);
    } else if (const auto* time = std::get_if<absl::Time>(&value.value_)) {
      AppendTime(out, *time);
    } else if (const auto* status = std::get_if<const absl::Status*>(&value.value_)) {
      AppendQuoted(out, (*status)->ToString(absl::StatusToStringMode::kWithNoExtraData));
    }
  }
};

bool LogEnabled(Severity severity) {
  return severity >= least_severity.load(std::memory_order_relaxed);
}

void Log(Severity severity, std::string_view event, std::initializer_list<LogField> fields) {
  if (!LogEnabled(severity)) return;
  const Output& output = CurrentOutput();
  Buffer line;
  Append(line, "{\"time\":");
  AppendTime(line, Clock::Real().Now());
  Append(line, ",\"level\":\"");
  Append(line, NameOf(severity));
  Append(line, "\",\"service\":");
  AppendQuoted(line, output.service);
  Append(line, ",\"event\":");
  AppendQuoted(line, event);
  for (const LogField& field : fields) {
    Append(line, ",");
    AppendQuoted(line, field.key);
    Append(line, ":");
    LogLine::Append(line, field.value);
  }
  Append(line, "}");
  output.logger->log(spdlog::level::info, spdlog::string_view_t(line.data(), line.size()));
}

absl::Status InitLogging(std::string_view service, const LogConfig& config) {
  const auto* name = std::find_if(std::begin(kNames), std::end(kNames),
                                  [&](const auto& entry) { return entry.second == config.level; });
  if (name == std::end(kNames)) {
    return InvalidField("log.level", "must be debug, info, warning or error");
  }
  spdlog::sink_ptr sink;
  if (config.file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    try {
      sink = std::make_shared<spdlog::sinks::rotating_file_sink_mt>(
          config.file, static_cast<size_t>(config.max_file_bytes),
          static_cast<size_t>(config.max_files));
    } catch (const spdlog::spdlog_ex& error) {
      return InvalidField("log.file", error.what());
    }
  }
  Install(MakeOutput(service, std::move(sink)));
  least_severity.store(name->first);
  return absl::OkStatus();
}

}  // namespace slipway
