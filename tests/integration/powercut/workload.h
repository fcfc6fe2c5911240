#ifndef SLIPWAY_TESTS_INTEGRATION_POWERCUT_WORKLOAD_H_
#define SLIPWAY_TESTS_INTEGRATION_POWERCUT_WORKLOAD_H_

#include <string>

#include "fmt/format.h"
#include "services/gateway/usage/journal.h"

namespace slipway {

/// The bytes that a workload writes under `number`: other ones for each, and long enough for some
/// sectors.
inline std::string ContentOf(int number) {
  std::string content = fmt::format("content {}\n", number);
  for (int i = 0; content.size() < 700 + 137 * static_cast<size_t>(number % 29); ++i) {
    content += fmt::format("{:x} ", (number + 1) * 2654435761u * (i + 1));
  }
  return content;
}

inline gateway::JournalOptions JournalAt(const std::string& folder) {
  gateway::JournalOptions options;
  options.folder = folder + "/journal";
  options.segment_bytes = 8 << 10;
  options.segments = 8;
  options.sync_interval = absl::Milliseconds(1);
  return options;
}

/// So small that the usage workload goes around it some times.
inline gateway::JournalOptions UsageJournalAt(const std::string& folder) {
  gateway::JournalOptions options = JournalAt(folder);
  options.segment_bytes = 5 << 10;
  options.segments = 4;
  return options;
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_INTEGRATION_POWERCUT_WORKLOAD_H_
