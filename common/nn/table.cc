#include "common/nn/table.h"

#include <cstring>
#include <set>
#include <utility>

#include "common/fields/json.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace slipway::nn {
namespace {

constexpr size_t kMaxColumns = 100'000;
constexpr int64_t kMaxWidth = 10'000'000;

}  // namespace

Table::Table(std::vector<std::shared_ptr<const Column>> columns) : columns_(std::move(columns)) {
  for (const auto& column : columns_) {
    ++(column->is_text() ? texts_ : numbers_);
    width_ += column->width();
  }
}

absl::StatusOr<Table> Table::Parse(const nlohmann::json& list, const std::string& path) {
  if (!list.is_array() || list.empty() || list.size() > kMaxColumns) {
    return InvalidField(path, fmt::format("must be a list of 1 to {} columns", kMaxColumns));
  }
  std::vector<std::shared_ptr<const Column>> columns;
  std::set<std::string_view> names;
  for (size_t i = 0; i < list.size(); ++i) {
    ASSIGN_OR_RETURN(columns.emplace_back(), ParseColumn(list[i], JoinPath(path, i)));
    if (!names.insert(columns.back()->name()).second) {
      return InvalidField(JoinPath(JoinPath(path, i), "name"),
                          fmt::format("repeats \"{}\"", columns.back()->name()));
    }
    if (list.size() > 1 && columns.back()->tokenizer() != nullptr) {
      return InvalidField(JoinPath(path, i), "is text, which must be the only column");
    }
  }
  Table table(std::move(columns));
  if (table.width() > kMaxWidth) {
    return InvalidField(path, fmt::format("becomes more than {} numbers", kMaxWidth));
  }
  return table;
}

nlohmann::ordered_json Table::ToJson() const {
  auto list = nlohmann::ordered_json::array();
  for (const auto& column : columns_) list.push_back(column->ToJson());
  return list;
}

std::vector<TensorSpec> Table::inputs() const {
  std::vector<TensorSpec> inputs;
  if (numbers_ > 0) inputs.push_back({kNumbers, DataType::kFp32, {Shape::kAny, numbers_}});
  if (texts_ > 0) inputs.push_back({kTexts, DataType::kBytes, {Shape::kAny, texts_}});
  return inputs;
}

TensorSpec Table::encoded() const { return {kEncoded, DataType::kFp32, {Shape::kAny, width_}}; }

void Table::Encode(std::span<const float> numbers, std::span<const std::string_view> texts,
                   std::span<float> out) const {
  size_t number = 0;
  size_t text = 0;
  size_t at = 0;
  for (const auto& column : columns_) {
    const auto width = static_cast<size_t>(column->width());
    Cell cell;
    if (column->is_text()) {
      cell.text = texts[text++];
    } else {
      cell.number = numbers[number++];
    }
    column->Encode(cell, out.subspan(at, width));
    at += width;
  }
}

std::vector<std::string> Table::MaskCells(size_t rows, std::span<float> numbers,
                                          std::span<std::string_view> texts) const {
  std::vector<std::string> masked;
  masked.reserve(texts.size());  // what is looked at stays where it is
  size_t number = 0;
  size_t text = 0;
  for (const auto& column : columns_) {
    const size_t place = column->is_text() ? text++ : number++;
    if (!column->mask().has_value()) continue;
    for (size_t row = 0; row < rows; ++row) {
      if (column->is_text()) {
        std::string_view& cell = texts[row * static_cast<size_t>(texts_) + place];
        cell = masked.emplace_back(column->mask()->Apply(cell));
      } else {
        float& cell = numbers[row * static_cast<size_t>(numbers_) + place];
        cell = column->mask()->Apply(cell);
      }
    }
  }
  return masked;
}

absl::StatusOr<Tensor> Table::Encode(std::span<const Tensor> inputs) const {
  const std::vector<TensorSpec> specs = this->inputs();
  if (inputs.size() != specs.size()) {
    return absl::InvalidArgumentError(
        fmt::format("a row is {} tensors, got {}", specs.size(), inputs.size()));
  }
  const int64_t rows = inputs[0].shape().rank() == 0 ? 0 : inputs[0].shape()[0];
  std::vector<float> numbers;
  std::vector<std::string_view> texts;
  for (size_t i = 0; i < inputs.size(); ++i) {
    RETURN_IF_ERROR(inputs[i].CheckAgainst(specs[i], specs[i].name));
    if (inputs[i].shape()[0] != rows) {
      return InvalidField(specs[i].name, fmt::format("has {} rows, the other tensor {}",
                                                     inputs[i].shape()[0], rows));
    }
    if (specs[i].dtype == DataType::kBytes) {
      texts = inputs[i].Texts();
    } else {
      numbers.resize(static_cast<size_t>(inputs[i].element_count()));
      std::memcpy(numbers.data(), inputs[i].data().data(), numbers.size() * sizeof(float));
    }
  }
  const std::vector<std::string> masked = MaskCells(static_cast<size_t>(rows), numbers, texts);
  std::vector<float> row(static_cast<size_t>(width_));
  std::string bytes;
  bytes.reserve(static_cast<size_t>(rows) * row.size() * sizeof(float));
  const auto number_count = static_cast<size_t>(numbers_);
  const auto text_count = static_cast<size_t>(texts_);
  for (size_t i = 0; i < static_cast<size_t>(rows); ++i) {
    Encode(std::span(numbers).subspan(i * number_count, number_count),
           std::span(texts).subspan(i * text_count, text_count), row);
    bytes.append(reinterpret_cast<const char*>(row.data()), row.size() * sizeof(float));
  }
  return Tensor::Make(kEncoded, DataType::kFp32, {rows, width_}, Buffer::Own(std::move(bytes)),
                      kEncoded);
}

}  // namespace slipway::nn
