#include "services/cli/up/logs.h"

#include <algorithm>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <ostream>
#include <utility>
#include <vector>

#include "common/time/clock.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/cli/up/data_directory.h"

namespace slipway::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr absl::Duration kLookAgain = absl::Milliseconds(200);

struct Line {
  std::string time;
  std::string service;
  std::string text;
};

std::string TimeOf(const std::string& json_line) {
  const json line = json::parse(json_line, nullptr, false);
  return line.is_object() ? line.value("time", "") : "";
}

// One service's file, read from where the last read ended. A file that was rotated away (it is
// shorter than that) is read from its start.
class LogFile {
 public:
  explicit LogFile(fs::path path) : path_(std::move(path)) {}

  std::string service() const { return path_.stem().string(); }

  std::vector<Line> ReadNew() {
    std::vector<Line> lines;
    std::error_code error;
    const auto size = fs::file_size(path_, error);
    if (error) return lines;
    if (size < offset_) offset_ = 0;
    std::ifstream in(path_, std::ios::binary);
    in.seekg(static_cast<std::streamoff>(offset_));
    std::string text;
    while (std::getline(in, text)) {
      if (in.eof()) break;  // a line that is being written
      offset_ += text.size() + 1;
      lines.push_back({TimeOf(text), service(), std::move(text)});
    }
    return lines;
  }

 private:
  fs::path path_;
  uintmax_t offset_ = 0;
};

std::vector<Line> ReadAll(std::vector<LogFile>& files) {
  std::vector<Line> lines;
  for (LogFile& file : files) {
    std::vector<Line> more = file.ReadNew();
    std::move(more.begin(), more.end(), std::back_inserter(lines));
  }
  std::stable_sort(lines.begin(), lines.end(),
                   [](const Line& a, const Line& b) { return a.time < b.time; });
  return lines;
}

}  // namespace

std::string ReadableLogLine(const std::string& service, const std::string& json_line) {
  const json line = json::parse(json_line, nullptr, false);
  if (!line.is_object()) return fmt::format("{:<10} {}", service, json_line);
  const std::string time = line.value("time", "");
  std::string text =
      fmt::format("{} {:<10} {:<7} {}", time.size() >= 23 ? time.substr(11, 12) : time, service,
                  line.value("level", ""), line.value("event", ""));
  for (const auto& [key, value] : line.items()) {
    if (key == "time" || key == "level" || key == "event" || key == "service") continue;
    text += fmt::format(" {}={}", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return text;
}

absl::Status PrintLogs(const LogOptions& options, std::ostream& out) {
  const DataDirectory directory(options.data_dir);
  std::vector<LogFile> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory.Folder("logs"), error)) {
    if (entry.path().extension() != ".jsonl") continue;
    if (!options.service.empty() && entry.path().stem() != options.service) continue;
    files.emplace_back(entry.path());
  }
  if (error) return NotFound(directory.Folder("logs"));
  if (files.empty()) {
    return NotFound(options.service.empty()
                        ? directory.Folder("logs/*.jsonl")
                        : directory.Folder("logs/" + options.service + ".jsonl"));
  }
  std::vector<Line> lines = ReadAll(files);
  const size_t skip = lines.size() - std::min<size_t>(lines.size(), options.lines);
  lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(skip));
  for (;;) {
    for (const Line& line : lines) {
      out << (options.json ? line.text : ReadableLogLine(line.service, line.text)) << '\n';
    }
    out << std::flush;
    if (!options.follow || !out) return absl::OkStatus();
    Clock::Real().SleepFor(kLookAgain);
    lines = ReadAll(files);
  }
}

}  // namespace slipway::cli
