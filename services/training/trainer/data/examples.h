#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_EXAMPLES_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_EXAMPLES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/nn/table.h"
#include "common/tensor/tensor.h"

namespace slipway::trainer {

/// Rows with their targets, as the network takes them: a gather of rows into a batch is a few
/// memcpy, and what else is done to them (scaling) is the network's first layers. A value; filled
/// once.
struct Examples {
  /// Of a batch of rows: dimension 0 is -1.
  TensorSpec input;
  /// Row-major, one row after another; where they are many, in a file (SpillFile).
  Buffer inputs;
  size_t row_bytes = 0;
  int64_t count = 0;
  /// More than 1 where steps of a row have classes of their own: tokens.
  int64_t targets_per_row = 1;
  /// One of the two has `count` times as many elements; none where the targets are made when rows
  /// are taken (see BatchChange).
  std::vector<int64_t> classes;
  std::vector<float> values;
};

struct RawTable;

/// What a training works on.
struct TrainingData {
  std::shared_ptr<const Examples> train;
  /// May be the same object as `train`, of which it then uses other rows.
  std::shared_ptr<const Examples> test;
  std::vector<int64_t> train_rows;
  std::vector<int64_t> validation_rows;  // may be empty
  std::vector<int64_t> test_rows;
  /// Classes (or tokens), or 1 for real targets.
  int64_t outputs = 0;
  /// Names of the classes by index; may be empty.
  std::vector<std::string> labels;
  /// Of a text its tokens; of a table with rules for its columns what was fitted, which made the
  /// examples of the raw rows; the same rows have the same places in both.
  std::optional<nn::Table> table;
  std::shared_ptr<const RawTable> raw_train;
  std::shared_ptr<const RawTable> raw_test;  // may be the same as raw_train
};

/// Some rows, one after another, as a learner takes them.
struct Batch {
  int64_t size = 0;  // rows
  /// Of the rows of its step: how much its mean loss counts.
  double share = 1;
  std::vector<char> inputs;
  std::vector<int64_t> classes;
  std::vector<float> values;
  /// Which steps the classes are of, counted over all rows; empty: of all steps, or of the rows.
  std::vector<int64_t> steps;
};

/// Changes a batch when it has been gathered. What becomes of a row follows from `place` alone, the
/// count of rows that were taken before the first of the batch.
using BatchChange = std::function<void(int64_t place, Batch& batch)>;

/// Copies `rows[first .. first + size)` of `examples` into `batch`, whose memory is used again.
void Gather(const Examples& examples, const std::vector<int64_t>& rows, int64_t first, int64_t size,
            Batch& batch);

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_EXAMPLES_H_
