#ifndef SLIPWAY_SERVICES_CLI_METRICS_VIEW_H_
#define SLIPWAY_SERVICES_CLI_METRICS_VIEW_H_

#include <iosfwd>

#include "nlohmann/json_fwd.hpp"

namespace slipway::cli {

/// The metrics of the whole ("accuracy"), one a line, their names at least `width` columns wide.
/// Those of single classes ("recall/Coat") are left to PrintClassMetrics().
void PrintMetrics(std::ostream& out, const nlohmann::json& metrics, int width);

/// The metrics of single classes as a table: a row a class, a column a metric. Nothing where there
/// are none.
void PrintClassMetrics(std::ostream& out, const nlohmann::json& metrics);

/// The confusion matrix in a version's evaluation.json as a table: a row a class that was true, a
/// column a class that was said. Nothing where there is none, or too wide a one for a screen.
void PrintConfusionMatrix(std::ostream& out, const nlohmann::json& evaluation);

}  // namespace slipway::cli

#endif  // SLIPWAY_SERVICES_CLI_METRICS_VIEW_H_
