#include <algorithm>
#include <cmath>
#include <utility>

#include "common/fields/json.h"
#include "common/nn/column.h"

namespace slipway::nn {
namespace {

struct Number final : Column, NumberColumn {
  Number() = default;
  explicit Number(NumberColumn column) : NumberColumn(std::move(column)) {}

  absl::Status Check(const std::string& path) const {
    if (!clip.empty() && (clip.size() != 2 || clip[0] > clip[1])) {
      return InvalidField(JoinPath(path, "clip"), "must be the least and the largest value");
    }
    return NumberColumn::mask ? NumberColumn::mask->CheckForNumbers(path) : absl::OkStatus();
  }
  nlohmann::ordered_json ToJson() const override { return PrintKind("number", *this); }
  const std::string& name() const override { return NumberColumn::name; }
  bool is_text() const override { return false; }
  int64_t width() const override { return 1; }
  const std::optional<Mask>& mask() const override { return NumberColumn::mask; }

  void Encode(const Cell& cell, std::span<float> out) const override {
    double value = cell.number;
    if (std::isnan(value) && !fill.empty()) value = fill[0];
    out[0] = static_cast<float>((Prepare(value) - center) / spread);
  }
};

}  // namespace

double NumberColumn::Prepare(double value) const {
  // As written, NaN stays NaN.
  if (!clip.empty()) value = value < clip[0] ? clip[0] : value > clip[1] ? clip[1] : value;
  return log ? std::copysign(std::log1p(std::abs(value)), value) : value;
}

extern const Kind<Column> kNumberColumn = MakeKind<Number, Column>("number");

std::unique_ptr<const Column> MakeColumn(NumberColumn column) {
  return std::make_unique<Number>(std::move(column));
}

}  // namespace slipway::nn
