#include <algorithm>
#include <limits>
#include <utility>

#include "common/fields/json.h"
#include "common/nn/column.h"

namespace slipway::nn {
namespace {

class Text final : public Column, public TextColumn {
 public:
  Text() = default;
  explicit Text(TextColumn column)
      : TextColumn(std::move(column)), encoder_(TextColumn::tokenizer) {}

  absl::Status Check(const std::string& path) {
    RETURN_IF_ERROR(TextColumn::tokenizer.Check(JoinPath(path, "tokenizer")));
    encoder_ = Tokenizer(TextColumn::tokenizer);
    return absl::OkStatus();
  }
  nlohmann::ordered_json ToJson() const override { return PrintKind("text", *this); }
  const std::string& name() const override { return TextColumn::name; }
  bool is_text() const override { return true; }
  int64_t width() const override { return max_length; }
  const std::optional<Mask>& mask() const override { return no_mask_; }
  const Tokenizer* tokenizer() const override { return &encoder_; }

  void Encode(const Cell& cell, std::span<float> out) const override {
    std::vector<int32_t> ids = encoder_.Encode(cell.text);
    if (ids.empty() && !fill.empty()) ids = encoder_.Encode(fill[0]);
    if (ids.empty()) {
      std::fill(out.begin(), out.end(), std::numeric_limits<float>::quiet_NaN());
      return;
    }
    const size_t size = std::min(ids.size(), out.size());
    const auto first =
        keep == Keep::kFirst ? ids.begin() : ids.end() - static_cast<ptrdiff_t>(size);
    const auto end = std::copy_n(first, size, out.begin());
    std::fill(end, out.end(), static_cast<float>(Tokenizer::kPad));
  }

 private:
  Tokenizer encoder_;
  const std::optional<Mask> no_mask_;
};

}  // namespace

extern const Kind<Column> kTextColumn = MakeKind<Text, Column>("text");

std::unique_ptr<const Column> MakeColumn(TextColumn column) {
  return std::make_unique<Text>(std::move(column));
}

}  // namespace slipway::nn
