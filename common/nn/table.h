#ifndef SLIPWAY_COMMON_NN_TABLE_H_
#define SLIPWAY_COMMON_NN_TABLE_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/nn/column.h"
#include "common/status/status.h"
#include "common/tensor/tensor.h"
#include "nlohmann/json_fwd.hpp"

namespace slipway::nn {

/// What turns the raw rows of a table into what a network takes; a part of the model's
/// description. The trainer and the worker run this same code on the same bytes, so that training
/// and serving cannot differ. Raw rows are up to two tensors: "features" FP32 [-1, numbers] and
/// "texts" BYTES [-1, texts], each with its columns in the order of columns(). A value; parts are
/// shared and immutable. See docs/adr/0015.
class Table {
 public:
  static constexpr char kNumbers[] = "features";
  static constexpr char kTexts[] = "texts";
  /// The network's own input, [-1, width] FP32.
  static constexpr char kEncoded[] = "encoded";

  /// `columns` is not empty, and names are unique; a column of tokens is the only one.
  explicit Table(std::vector<std::shared_ptr<const Column>> columns);

  /// A list of columns. Errors: InvalidField below `path`.
  static absl::StatusOr<Table> Parse(const nlohmann::json& list, const std::string& path);
  nlohmann::ordered_json ToJson() const;

  const std::vector<std::shared_ptr<const Column>>& columns() const { return columns_; }
  /// The raw tensors that there are.
  std::vector<TensorSpec> inputs() const;
  TensorSpec encoded() const;
  int64_t numbers() const { return numbers_; }
  int64_t texts() const { return texts_; }
  int64_t width() const { return width_; }
  /// Where the network takes ids of tokens: what numbers them; otherwise null.
  const Tokenizer* tokenizer() const { return columns_[0]->tokenizer(); }

  /// One row that is masked already: its numbers, its texts, and width() numbers that come out.
  /// Total: see Column::Encode.
  void Encode(std::span<const float> numbers, std::span<const std::string_view> texts,
              std::span<float> out) const;

  /// A batch of raw rows as inputs() say; the encoded tensor. Errors: kInvalidArgument where the
  /// tensors do not fit.
  absl::StatusOr<Tensor> Encode(std::span<const Tensor> inputs) const;

 private:
  // Masks cells in place; what the texts then look at.
  std::vector<std::string> MaskCells(size_t rows, std::span<float> numbers,
                                     std::span<std::string_view> texts) const;

  std::vector<std::shared_ptr<const Column>> columns_;
  int64_t numbers_ = 0;
  int64_t texts_ = 0;
  int64_t width_ = 0;
};

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_TABLE_H_
