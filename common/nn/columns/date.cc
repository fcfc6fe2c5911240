#include <algorithm>
#include <limits>
#include <utility>

#include "absl/time/time.h"
#include "common/fields/json.h"
#include "common/nn/column.h"

namespace slipway::nn {
namespace {

std::optional<DatePart> FindPart(std::string_view name) {
  for (const auto& part : DateColumn::kParts) {
    if (part.name == name) return part.value;
  }
  return std::nullopt;
}

class Date final : public Column, public DateColumn {
 public:
  Date() = default;
  explicit Date(DateColumn column) : DateColumn(std::move(column)) { (void)Check(""); }

  absl::Status Check(const std::string& path) {
    if (center.size() != parts.size() || spread.size() != parts.size()) {
      return InvalidField(JoinPath(path, "center"), "must be as long as parts and spread");
    }
    for (size_t i = 0; i < parts.size(); ++i) {
      const auto part = FindPart(parts[i]);
      if (!part) return InvalidField(JoinPath(JoinPath(path, "parts"), i), "is no part of a date");
      parts_.push_back(*part);
    }
    return DateColumn::mask ? DateColumn::mask->CheckForDates(path) : absl::OkStatus();
  }
  nlohmann::ordered_json ToJson() const override { return PrintKind("date", *this); }
  const std::string& name() const override { return DateColumn::name; }
  bool is_text() const override { return true; }
  const std::optional<Mask>& mask() const override { return DateColumn::mask; }
  int64_t width() const override { return std::ssize(parts_); }

  void Encode(const Cell& cell, std::span<float> out) const override {
    const std::string_view text = cell.text.empty() && !fill.empty() ? fill[0] : cell.text;
    const auto date = ParseDate(text);
    if (!date) {
      std::fill(out.begin(), out.end(), std::numeric_limits<float>::quiet_NaN());
      return;
    }
    for (size_t i = 0; i < parts_.size(); ++i) {
      out[i] = static_cast<float>((PartOf(*date, parts_[i]) - center[i]) / spread[i]);
    }
  }

 private:
  std::vector<DatePart> parts_;
};

}  // namespace

extern const Kind<Column> kDateColumn = MakeKind<Date, Column>("date");

std::unique_ptr<const Column> MakeColumn(DateColumn column) {
  return std::make_unique<Date>(std::move(column));
}

std::optional<absl::CivilSecond> ParseDate(std::string_view text) {
  if (text.size() < 10 || text.size() > 40 || text[4] != '-') return std::nullopt;
  constexpr const char* kFormats[] = {"%Y-%m-%d", "%Y-%m-%d%ET%H:%M", "%Y-%m-%d%ET%H:%M:%E*S",
                                      "%Y-%m-%d%ET%H:%M%Ez", "%Y-%m-%d%ET%H:%M:%E*S%Ez"};
  std::string copy(text);
  if (copy.size() > 10 && copy[10] == ' ') copy[10] = 'T';
  for (const char* format : kFormats) {
    absl::Time time;
    if (absl::ParseTime(format, copy, &time, nullptr)) {
      return absl::ToCivilSecond(time, absl::UTCTimeZone());
    }
  }
  return std::nullopt;
}

double PartOf(const absl::CivilSecond& date, DatePart part) {
  switch (part) {
    case DatePart::kYear:
      return static_cast<double>(date.year());
    case DatePart::kMonth:
      return date.month();
    case DatePart::kDay:
      return date.day();
    case DatePart::kWeekday:
      return 1 + static_cast<int>(absl::GetWeekday(date));
    case DatePart::kHour:
      return date.hour();
    case DatePart::kMinute:
      return date.minute();
  }
  return 0;
}

}  // namespace slipway::nn
