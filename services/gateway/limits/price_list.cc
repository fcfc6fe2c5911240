#include "services/gateway/limits/price_list.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace slipway::gateway {

int64_t Price::CostOf(const Work& work) const {
  constexpr double kMillion = 1e6;
  const double cost = static_cast<double>(request) +
                      static_cast<double>(compute_second) * work.compute_micros / kMillion +
                      static_cast<double>(input_million) * work.input_tokens / kMillion +
                      static_cast<double>(output_million) * work.output_tokens / kMillion;
  // The largest double below 2^63.
  return static_cast<int64_t>(std::min(std::round(cost), 9223372036854774784.0));
}

bool FitsPattern(std::string_view pattern, std::string_view text) {
  size_t at = 0;
  size_t in_text = 0;
  // Behind the last '*', and what of the text it has taken so far.
  size_t star = std::string_view::npos;
  size_t taken = 0;
  while (in_text < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      star = ++at;
      taken = in_text;
    } else if (at < pattern.size() && pattern[at] == text[in_text]) {
      ++at;
      ++in_text;
    } else if (star != std::string_view::npos) {
      at = star;
      in_text = ++taken;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', at) == std::string_view::npos;
}

PriceList::PriceList(std::vector<Price> prices) {
  std::sort(prices.begin(), prices.end(), [](const Price& a, const Price& b) {
    return a.match.size() != b.match.size() ? a.match.size() > b.match.size() : a.id < b.id;
  });
  for (Price& price : prices) prices_.emplace_back(std::move(price));
}

const PricedModels* PriceList::Find(std::string_view deployment,
                                    std::string_view model_version) const {
  for (const PricedModels& models : prices_) {
    const std::string& match = models.price.match;
    if (FitsPattern(match, deployment) || FitsPattern(match, model_version)) return &models;
  }
  return nullptr;
}

}  // namespace slipway::gateway
