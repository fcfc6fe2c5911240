#include "services/cli/progress.h"

#include <algorithm>
#include <cmath>
#include <ostream>

#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/cli/metrics_view.h"
#include "services/cli/output.h"
#include "services/cli/plan_view.h"

namespace slipway::cli {

using nlohmann::json;

std::string ProgressBar(double share, int width) {
  const int full = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * width));
  std::string bar;
  for (int i = 0; i < width; ++i) bar += i < full ? "━" : "─";
  return bar;
}

std::string Sparkline(const std::deque<double>& values, int width) {
  constexpr const char* kBars[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const size_t first = values.size() > static_cast<size_t>(width) ? values.size() - width : 0;
  if (first == values.size()) return "";
  const auto [least, greatest] = std::minmax_element(values.begin() + first, values.end());
  const double span = *greatest - *least;
  std::string line;
  for (size_t i = first; i < values.size(); ++i) {
    const double height = span > 0 ? (values[i] - *least) / span : 0;
    line += kBars[static_cast<size_t>(std::lround(std::clamp(height, 0.0, 1.0) * 7))];
  }
  return line;
}

std::string ClockText(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole >= 3600) {
    return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  }
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

JobView::JobView(std::ostream& out, bool json, int descriptor)
    : out_(out),
      json_(json),
      terminal_(!json && IsTerminal(descriptor)),
      width_(TerminalWidth(descriptor)) {}

void JobView::Line(const std::string& text) {
  if (line_open_) out_ << "\r\033[K";
  line_open_ = false;
  out_ << text << '\n' << std::flush;
}

void JobView::ShowProgress(const json& progress) {
  const double step = NumberOf(progress, "step");
  const double steps = NumberOf(progress, "steps");
  const double share = steps > 0 ? step / steps : 0;
  const std::string phase = TextOf(progress, "phase");
  const bool training = phase == "training" || phase.empty();
  if (training && progress.contains("loss")) losses_.push_back(NumberOf(progress, "loss"));
  if (losses_.size() > 400) losses_.pop_front();

  // A regression has no accuracy; the API writes 0 where there is none.
  const double accuracy = NumberOf(progress, "accuracy");
  const std::string numbers = fmt::format(
      "epoch {:.0f}/{:.0f}  loss {:.4f}{}  {:.0f}/s  {} left", NumberOf(progress, "epoch"),
      NumberOf(progress, "epochs"), NumberOf(progress, "loss"),
      accuracy > 0 ? fmt::format("  accuracy {:.3f}", accuracy) : "",
      NumberOf(progress, "samplesPerSecond"), ClockText(NumberOf(progress, "remainingSeconds")));
  if (!terminal_) {
    const int tenth = static_cast<int>(share * 10);
    if (tenth == shown_tenth_ && phase == shown_phase_) return;
    shown_tenth_ = tenth;
    shown_phase_ = phase;
    Line(training ? fmt::format("{} {:3.0f}%  {}  {}", ProgressBar(share, 20), share * 100, numbers,
                                Sparkline(losses_, 16))
                  : phase);
    return;
  }
  std::string line;
  if (training) {
    const int room = width_ - static_cast<int>(numbers.size()) - 10;
    const int bar = std::clamp(room / 2, 5, 30);
    line = fmt::format("{} {:3.0f}%  {}", ProgressBar(share, bar), share * 100, numbers);
    if (const int spark = std::min(room - bar - 2, 30); spark >= 6) {
      line += "  " + Sparkline(losses_, spark);
    }
  } else {
    line = phase + " ...";
  }
  out_ << "\r\033[K" << line << std::flush;
  line_open_ = true;
}

void JobView::Show(const json& event) {
  if (const auto change = event.find("stateChange"); change != event.end()) {
    const std::string state = TextOf(*change, "state");
    ended_ = ended_ || state == "SUCCEEDED" || state == "FAILED" || state == "CANCELLED";
    if (!json_) {
      const std::string reason = TextOf(*change, "reason");
      Line(reason.empty() ? state : fmt::format("{}: {}", state, reason));
    }
  }
  if (json_) {
    out_ << event.dump() << '\n' << std::flush;
    return;
  }
  if (const auto progress = event.find("progress"); progress != event.end()) {
    ShowProgress(*progress);
  }
  if (const auto log = event.find("log"); log != event.end()) Line(TextOf(*log, "text"));
}

void JobView::Finish() {
  if (line_open_) out_ << '\n';
  line_open_ = false;
}

void PrintJob(std::ostream& out, const json& job) {
  out << fmt::format("{}  {}\n", TextOf(job, "name"), TextOf(job, "state"));
  if (const std::string version = TextOf(job, "modelVersion"); !version.empty()) {
    out << fmt::format("  {:<15} {}\n", "version", version);
  }
  if (const std::string error = TextOf(job, "error"); !error.empty()) {
    out << fmt::format("  {:<15} {}\n", "error", error);
  }
  out << fmt::format("  {:<15} {}\n", "attempts", TextOf(job, "attempts"));
  PrintMetrics(out, job.value("metrics", json::object()), 15);
  PrintTrials(out, job);
}

}  // namespace slipway::cli
