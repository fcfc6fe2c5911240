#ifndef SLIPWAY_SERVICES_CLI_PROGRESS_H_
#define SLIPWAY_SERVICES_CLI_PROGRESS_H_

#include <deque>
#include <iosfwd>
#include <string>

#include "nlohmann/json_fwd.hpp"

namespace slipway::cli {

/// `width` cells, the first `share` (0 to 1) of them full.
std::string ProgressBar(double share, int width);

/// The newest `width` values as bars of eight heights, scaled between their least and greatest.
std::string Sparkline(const std::deque<double>& values, int width);

/// "0:07", "12:34", "1:02:03"
std::string ClockText(double seconds);

/// Shows a job's events as they come: on a terminal one line that is drawn again, elsewhere a
/// line now and then. One thread.
class JobView {
 public:
  /// With `json` every event is printed as one line of JSON instead. `descriptor` is what `out`
  /// writes to.
  JobView(std::ostream& out, bool json, int descriptor);

  void Show(const nlohmann::json& event);
  /// Ends the line that is being drawn.
  void Finish();
  /// Has the job ended?
  bool ended() const { return ended_; }

 private:
  void ShowProgress(const nlohmann::json& progress);
  void Line(const std::string& text);

  std::ostream& out_;
  const bool json_;
  const bool terminal_;
  const int width_;
  std::deque<double> losses_;
  int shown_tenth_ = -1;
  std::string shown_phase_;
  bool line_open_ = false;
  bool ended_ = false;
};

/// A job in full, for a person.
void PrintJob(std::ostream& out, const nlohmann::json& job);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_PROGRESS_H_
