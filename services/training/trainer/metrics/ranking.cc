#include "services/training/trainer/metrics/ranking.h"

#include <algorithm>

namespace slipway::trainer {

std::optional<RankingQuality> JudgeRanking(std::vector<Ranked>& rows) {
  const auto positives = static_cast<double>(
      std::count_if(rows.begin(), rows.end(), [](const Ranked& row) { return row.positive; }));
  const double negatives = static_cast<double>(rows.size()) - positives;
  if (positives == 0 || negatives == 0) return std::nullopt;
  std::sort(rows.begin(), rows.end(),
            [](const Ranked& a, const Ranked& b) { return a.score > b.score; });
  double hits = 0;     // positives so far
  double misses = 0;   // others so far
  double area = 0;     // pairs in the right order
  double average = 0;  // precision, weighted by the recall that it adds
  for (size_t first = 0; first < rows.size();) {
    // Rows of one score stand on one threshold.
    size_t end = first;
    double more = 0;
    while (end < rows.size() && rows[end].score == rows[first].score) more += rows[end++].positive;
    const double others = static_cast<double>(end - first) - more;
    area += others * (hits + more / 2);
    hits += more;
    misses += others;
    average += more * hits / (hits + misses);
    first = end;
  }
  return RankingQuality{area / (positives * negatives), average / positives};
}

}  // namespace slipway::trainer
