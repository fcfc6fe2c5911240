#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include "common/fields/json.h"
#include "common/nn/column.h"

namespace slipway::nn {
namespace {

// The same on every machine (FNV-1a, 64 bits).
uint64_t HashOf(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash ^ (hash >> 32);
}

class Category final : public Column, public CategoryColumn {
 public:
  Category() = default;
  explicit Category(CategoryColumn column) : CategoryColumn(std::move(column)) { Index(); }

  absl::Status Check(const std::string& path) {
    if (encoding == CategoryEncoding::kHash && buckets < 1) {
      return InvalidField(JoinPath(path, "buckets"), "must be at least 1");
    }
    if (encoding != CategoryEncoding::kHash && values.empty()) {
      return InvalidField(JoinPath(path, "values"), "must name at least one value");
    }
    Index();
    if (places_.size() != values.size()) {
      return InvalidField(JoinPath(path, "values"), "must name each value once");
    }
    return CategoryColumn::mask ? CategoryColumn::mask->CheckForCategories(path) : absl::OkStatus();
  }
  nlohmann::ordered_json ToJson() const override { return PrintKind("category", *this); }
  const std::string& name() const override { return CategoryColumn::name; }
  bool is_text() const override { return true; }
  const std::optional<Mask>& mask() const override { return CategoryColumn::mask; }
  int64_t width() const override {
    switch (encoding) {
      case CategoryEncoding::kOneHot:
        return std::ssize(values);
      case CategoryEncoding::kOrdinal:
        return 1;
      case CategoryEncoding::kHash:
        return buckets;
    }
    return 0;
  }

  void Encode(const Cell& cell, std::span<float> out) const override {
    std::string_view text = cell.text;
    if (text.empty() && !fill.empty()) text = fill[0];
    if (text.empty()) {
      std::fill(out.begin(), out.end(), std::numeric_limits<float>::quiet_NaN());
      return;
    }
    std::fill(out.begin(), out.end(), 0.f);
    if (encoding == CategoryEncoding::kHash) {
      out[HashOf(text) % out.size()] = 1;
      return;
    }
    const auto place = places_.find(text);
    if (encoding == CategoryEncoding::kOneHot) {
      if (place != places_.end()) out[place->second] = 1;
    } else {
      const auto last = static_cast<float>(std::max<size_t>(values.size() - 1, 1));
      out[0] = place == places_.end() ? -1 : static_cast<float>(place->second) / last;
    }
  }

 private:
  void Index() {
    for (size_t i = 0; i < values.size(); ++i) places_.emplace(values[i], i);
  }

  std::map<std::string, size_t, std::less<>> places_;
};

}  // namespace

extern const Kind<Column> kCategoryColumn = MakeKind<Category, Column>("category");

std::unique_ptr<const Column> MakeColumn(CategoryColumn column) {
  return std::make_unique<Category>(std::move(column));
}

}  // namespace slipway::nn
