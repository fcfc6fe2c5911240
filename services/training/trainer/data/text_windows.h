#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_TEXT_WINDOWS_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_TEXT_WINDOWS_H_

#include "services/training/trainer/data/open_data.h"

namespace slipway::trainer {

/// A text for a language model. Its end is held out for the test (unless that is a file of its
/// own), and the end of what is left to watch the training with; the tokenizer is fitted on the
/// rest. Each part is cut into rows of `max_length` tokens, whose targets are the tokens behind
/// each, or those that a TokenMasker hides: no part sees a token of another. What is left over at a
/// part's end is dropped. Errors: as OpenData.
absl::Status OpenText(const training::v1::DataSpec& spec, FileFetcher fetch,
                      const OpenDataOptions& options, TrainingData& data);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_TEXT_WINDOWS_H_
