#ifndef SLIPWAY_SERVICES_CLI_PLAN_VIEW_H_
#define SLIPWAY_SERVICES_CLI_PLAN_VIEW_H_

#include <iosfwd>

#include "nlohmann/json_fwd.hpp"

namespace slipway::cli {

/// What a training would take (TrainingPlan), and why what was proposed was.
void PrintPlan(std::ostream& out, const nlohmann::json& plan);

/// The spec of a plan as a file for `slipway train` has it: without what says nothing, and with
/// names and order of the documentation.
nlohmann::ordered_json SpecOfPlan(const nlohmann::json& plan);

/// The trials of a search (TrainingJob) as a table, the best one marked.
void PrintTrials(std::ostream& out, const nlohmann::json& job);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_PLAN_VIEW_H_
