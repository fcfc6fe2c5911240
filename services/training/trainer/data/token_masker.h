#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_TOKEN_MASKER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_TOKEN_MASKER_H_

#include <cstdint>
#include <vector>

#include "common/tokenizer/tokenizer.h"
#include "services/training/spec/objective/masked_token.h"
#include "services/training/trainer/data/examples.h"

namespace slipway::trainer {

/// Hides some tokens of each row, and makes them the batch's classes: of those that are asked for
/// 80% become the mask, 10% any token, and 10% stay as they are (BERT,
/// https://arxiv.org/abs/1810.04805, A.1), each time a row is taken others (RoBERTa,
/// https://arxiv.org/abs/1907.11692, 4.1). Which ones follows from the seed and the row's place, so
/// that a run that goes on hides the same as one that was never stopped. Immutable.
class TokenMasker {
 public:
  /// Rows are `length` ids of `tokenizer`, which has a mask.
  TokenMasker(const training::MaskedToken& objective, const Tokenizer& tokenizer, int64_t length,
              uint64_t seed);

  /// See BatchChange.
  void Apply(int64_t place, Batch& batch) const;

 private:
  int64_t length_;
  int64_t count_;  // of each row
  int32_t mask_;
  uint64_t seed_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_TOKEN_MASKER_H_
