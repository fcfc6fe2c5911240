#ifndef SLIPWAY_SERVICES_GATEWAY_LIMITS_PRICE_LIST_H_
#define SLIPWAY_SERVICES_GATEWAY_LIMITS_PRICE_LIST_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::gateway {

/// What a call did, as the worker counted it.
struct Work {
  int64_t input_tokens = 0;  ///< Of text; of tensors: rows.
  int64_t output_tokens = 0;
  int64_t compute_micros = 0;
};

/// What calls cost, in millionths of a unit (proto: Price).
struct Price {
  std::string id;
  std::string match;
  int64_t request = 0;
  int64_t compute_second = 0;
  int64_t input_million = 0;
  int64_t output_million = 0;

  /// Rounded to the nearest millionth; the largest number where it would be larger.
  int64_t CostOf(const Work& work) const;

  bool operator==(const Price&) const = default;
};

/// Does `text` fit `pattern`, in which each '*' stands for any text? In time of the product of
/// their lengths.
bool FitsPattern(std::string_view pattern, std::string_view text);

/// A price, and what is to be expected of the models that it is for. Any thread.
struct PricedModels {
  explicit PricedModels(Price the_price) : price(std::move(the_price)) {}

  const Price price;
  /// Of the last call: what is reserved for the next one.
  mutable std::atomic<int64_t> compute_micros = 0;
};

/// The operator's prices. Immutable; any thread.
class PriceList {
 public:
  explicit PriceList(std::vector<Price> prices);

  /// The price whose `match` fits the deployment's or the model version's name, the one with the
  /// longest match and then the first by id; null where none fits. Lives with the list.
  const PricedModels* Find(std::string_view deployment, std::string_view model_version) const;

 private:
  std::deque<PricedModels> prices_;  // the longest match first
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_LIMITS_PRICE_LIST_H_
