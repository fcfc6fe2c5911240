#ifndef SLIPWAY_COMMON_NN_COLUMN_H_
#define SLIPWAY_COMMON_NN_COLUMN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/civil_time.h"
#include "common/fields/kinds.h"
#include "common/nn/mask.h"
#include "common/status/status.h"
#include "common/tokenizer/tokenizer.h"
#include "nlohmann/json_fwd.hpp"

namespace slipway::nn {

/// A cell of a table as callers send it: a column of numbers has a number, any other a text.
/// Missing: NaN, or an empty text.
struct Cell {
  float number = 0;
  std::string_view text;
};

/// How one column of a table becomes numbers for a network, with the constants that were fitted on
/// the training part. Each kind is one file in columns/ and one line in column.cc. Immutable.
class Column {
 public:
  virtual ~Column() = default;
  virtual nlohmann::ordered_json ToJson() const = 0;

  virtual const std::string& name() const = 0;
  /// Whether its cells are texts.
  virtual bool is_text() const = 0;
  /// How many numbers it becomes.
  virtual int64_t width() const = 0;
  /// What its cells go through first; most columns have none.
  virtual const std::optional<Mask>& mask() const = 0;
  /// What numbers its tokens, where it becomes those; otherwise null.
  virtual const Tokenizer* tokenizer() const { return nullptr; }

  /// Writes width() numbers; for every cell, which is masked already. NaN where the cell is
  /// missing, or no date, and the column has nothing to put in its place: such a row has no answer.
  virtual void Encode(const Cell& cell, std::span<float> out) const = 0;
};

/// {"type": "number", "name": "age", ...}. Errors: InvalidField below `path`.
absl::StatusOr<std::unique_ptr<const Column>> ParseColumn(const nlohmann::json& object,
                                                          const std::string& path);

std::span<const Kind<Column>* const> Columns();

/// Clipped, then the logarithm, then (x - center) / spread.
struct NumberColumn {
  std::string name;
  std::vector<double> fill;  // in place of a missing value; at most one
  std::vector<double> clip;  // none, or the least and the largest value
  /// sign(x) log(1 + |x|)
  bool log = false;
  double center = 0;
  double spread = 1;
  std::optional<Mask> mask;

  template <class V>
  void Describe(V& v) {
    v.Text("name", name, {.min = 1, .max = 1024, .required = true});
    v.Reals("fill", fill, {}, {.max = 1});
    v.Reals("clip", clip, {}, {.max = 2});
    v.Bool("log", log);
    v.Real("center", center);
    v.Real("spread", spread, {.above = 0});
    v.Object("mask", mask);
  }

  /// What becomes of a value before it is centred.
  double Prepare(double value) const;
};
std::unique_ptr<const Column> MakeColumn(NumberColumn column);

enum class CategoryEncoding {
  kOneHot,   // one number a value; all 0 for a value that training never saw
  kOrdinal,  // one number: the value's place among `values` from 0 to 1; -1 for any other
  kHash,     // one-hot over `buckets`, by the value's hash
};

struct CategoryColumn {
  std::string name;
  CategoryEncoding encoding = CategoryEncoding::kOneHot;
  std::vector<std::string> fill;    // in place of a missing value; at most one
  std::vector<std::string> values;  // one_hot, ordinal
  int64_t buckets = 0;              // hash
  std::optional<Mask> mask;         // `fill` and `values` are as it leaves them

  static constexpr Name<CategoryEncoding> kEncodings[] = {{"one_hot", CategoryEncoding::kOneHot},
                                                          {"ordinal", CategoryEncoding::kOrdinal},
                                                          {"hash", CategoryEncoding::kHash}};
  static constexpr size_t kMaxValues = 100'000;
  static constexpr size_t kMaxValueBytes = 4096;

  template <class V>
  void Describe(V& v) {
    v.Text("name", name, {.min = 1, .max = 1024, .required = true});
    v.Enum("encoding", encoding, kEncodings, Presence::kRequired);
    v.Texts("fill", fill, {.min = 1, .max = kMaxValueBytes}, {.max = 1});
    v.Texts("values", values, {.min = 1, .max = kMaxValueBytes}, {.max = kMaxValues});
    v.Int("buckets", buckets, {.min = 0, .max = kMaxValues});
    v.Object("mask", mask);
  }
};
std::unique_ptr<const Column> MakeColumn(CategoryColumn column);

enum class DatePart { kYear, kMonth, kDay, kWeekday, kHour, kMinute };

struct DateColumn {
  std::string name;
  std::vector<std::string> fill;   // in place of a missing value; at most one
  std::vector<std::string> parts;  // of kParts; each becomes a number
  std::vector<double> center;      // one a part
  std::vector<double> spread;
  std::optional<Mask> mask;

  static constexpr Name<DatePart> kParts[] = {
      {"year", DatePart::kYear},       {"month", DatePart::kMonth}, {"day", DatePart::kDay},
      {"weekday", DatePart::kWeekday}, {"hour", DatePart::kHour},   {"minute", DatePart::kMinute}};

  template <class V>
  void Describe(V& v) {
    v.Text("name", name, {.min = 1, .max = 1024, .required = true});
    v.Texts("fill", fill, {.min = 1, .max = 64}, {.max = 1});
    v.Texts("parts", parts, {}, {.min = 1, .max = std::size(kParts), .required = true});
    v.Reals("center", center, {}, {.min = 1, .max = std::size(kParts), .required = true});
    v.Reals("spread", spread, {.above = 0}, {.min = 1, .max = std::size(kParts), .required = true});
    v.Object("mask", mask);
  }
};
std::unique_ptr<const Column> MakeColumn(DateColumn column);

/// Text as ids of tokens, behind them Tokenizer::kPad. (Ids are whole numbers below 2^24, which
/// floats hold exactly.) A text without any token counts as missing.
struct TextColumn {
  enum class Keep { kFirst, kLast };

  std::string name;
  std::vector<std::string> fill;  // in place of a missing value; at most one
  Tokenizer::Fields tokenizer;
  /// How many tokens there are room for, and which ones of a longer text stay.
  int64_t max_length = 0;
  Keep keep = Keep::kFirst;

  static constexpr Name<Keep> kKeeps[] = {{"first", Keep::kFirst}, {"last", Keep::kLast}};
  static constexpr int64_t kMaxLength = 65'536;
  static constexpr size_t kMaxTextBytes = size_t{1} << 20;

  template <class V>
  void Describe(V& v) {
    v.Text("name", name, {.min = 1, .max = 1024, .required = true});
    v.Texts("fill", fill, {.min = 1, .max = kMaxTextBytes}, {.max = 1});
    v.Object("tokenizer", tokenizer, Presence::kRequired);
    v.Int("max_length", max_length, {.min = 1, .max = kMaxLength, .required = true});
    v.Enum("keep", keep, kKeeps);
  }
};
std::unique_ptr<const Column> MakeColumn(TextColumn column);

/// "2026-11-22", "2026-11-22T21:45", "2026-11-22 21:45:30.5", as they stand; with an offset ("Z",
/// "+01:00") in UTC. Absent for any other text.
std::optional<absl::CivilSecond> ParseDate(std::string_view text);

/// A part as a number: 1 to 12 for months, 1 (Monday) to 7 for weekdays.
double PartOf(const absl::CivilSecond& date, DatePart part);

}  // namespace slipway::nn

#endif  // SLIPWAY_COMMON_NN_COLUMN_H_
