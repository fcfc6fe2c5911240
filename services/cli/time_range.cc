#include "services/cli/time_range.h"

#include <tuple>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/time/time.h"
#include "common/time/clock.h"

namespace slipway::cli {
namespace {

absl::StatusOr<std::string> ReadMoment(const char* option, const std::string& text) {
  absl::Time moment;
  absl::Duration ago;
  std::string ignored;
  if (absl::ParseDuration(text, &ago) && ago >= absl::ZeroDuration()) {
    moment = Clock::Real().Now() - ago;
  } else if (!absl::ParseTime(absl::RFC3339_full, text, &moment, &ignored) &&
             !absl::ParseTime("%Y-%m-%d", text, &moment, &ignored)) {
    return InvalidField(option, "must be a moment, a day or how long ago: 2026-01-31, 720h");
  }
  return absl::FormatTime(absl::RFC3339_full, moment, absl::UTCTimeZone());
}

}  // namespace

void TimeRange::AddOptions(CLI::App& command) {
  command.add_option("--since", since, "From then on: 2026-01-31 (UTC), 720h ago");
  command.add_option("--until", until, "Before then");
}

absl::Status TimeRange::AddTo(Query& query) const {
  for (const auto& [option, parameter, text] :
       {std::tuple("--since", "startTime", &since), std::tuple("--until", "endTime", &until)}) {
    if (text->empty()) continue;
    ASSIGN_OR_RETURN(std::string moment, ReadMoment(option, *text));
    query.emplace_back(parameter, std::move(moment));
  }
  return absl::OkStatus();
}

}  // namespace slipway::cli
