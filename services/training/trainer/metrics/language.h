#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_LANGUAGE_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_LANGUAGE_H_

#include <cstdint>
#include <map>
#include <string>

namespace slipway::trainer {

/// Measures how a language model does. One thread.
class LanguageMetrics {
 public:
  /// `log_loss` is the mean over the tokens, in nats; `right` are those that were held the
  /// likeliest.
  void Add(double log_loss, int64_t right, int64_t tokens);

  double accuracy() const;

  /// accuracy, log_loss (a token), and perplexity, which is exp(log_loss).
  std::map<std::string, double> Report() const;

 private:
  double log_loss_ = 0;  // sum
  int64_t right_ = 0;
  int64_t tokens_ = 0;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_METRICS_LANGUAGE_H_
