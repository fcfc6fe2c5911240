#include "services/training/trainer/data/csv.h"

#include <algorithm>
#include <set>
#include <utility>

#include "common/idx/gzip_reader.h"
#include "fmt/format.h"

namespace slipway::trainer {
namespace {

constexpr uint64_t kMaxBytes = uint64_t{8} << 30;
constexpr size_t kMaxColumns = 100'000;

// Where the text first breaks UTF-8 (RFC 3629), or its size.
size_t FindBrokenUtf8(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0x80) {
      ++at;
      continue;
    }
    const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (length == 0 || text.size() - at < length) return at;
    for (size_t i = 1; i < length; ++i) {
      const auto next = static_cast<unsigned char>(text[at + i]);
      if (next < 0x80 || next > 0xbf) return at;
      // Overlong forms, surrogates, beyond U+10FFFF.
      if (i == 1 && ((lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f) ||
                     (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f))) {
        return at;
      }
    }
    at += length;
  }
  return at;
}

// Walks over the text once. A quoted cell is unquoted where it stands (it only gets shorter), so
// that every cell is a view.
class Parser {
 public:
  Parser(std::string& text, std::string_view name) : text_(text), name_(name) {
    if (text_.starts_with("\xef\xbb\xbf")) at_ = 3;  // a byte order mark
  }

  bool done() const { return at_ >= text_.size(); }
  int64_t line() const { return line_; }

  absl::Status Refuse(int64_t line, std::string_view problem) const {
    return absl::InvalidArgumentError(fmt::format("{}, line {}: {}", name_, line, problem));
  }

  // Reads a row; an empty line gives one empty cell.
  absl::Status ReadRow(std::vector<std::string_view>& cells) {
    cells.clear();
    while (true) {
      if (cells.size() == kMaxColumns) {
        return Refuse(line_, fmt::format("has more than {} cells", kMaxColumns));
      }
      if (at_ < text_.size() && text_[at_] == '"') {
        ASSIGN_OR_RETURN(const std::string_view cell, ReadQuoted());
        cells.push_back(cell);
      } else {
        ASSIGN_OR_RETURN(const std::string_view cell, ReadPlain());
        cells.push_back(cell);
      }
      if (done()) return absl::OkStatus();
      if (text_[at_] == ',') {
        ++at_;
        continue;
      }
      if (text_[at_] == '\r') ++at_;
      ++at_;  // the '\n'
      ++line_;
      return absl::OkStatus();
    }
  }

 private:
  bool AtLineEnd(size_t at) const {
    return text_[at] == '\n' ||
           (text_[at] == '\r' && at + 1 < text_.size() && text_[at + 1] == '\n');
  }

  absl::StatusOr<std::string_view> ReadPlain() {
    const size_t begin = at_;
    while (!done() && text_[at_] != ',' && !AtLineEnd(at_)) {
      if (text_[at_] == '"') return Refuse(line_, "has a quote within a cell that is not quoted");
      if (text_[at_] == '\0') return Refuse(line_, "has a NUL byte: is this a CSV file?");
      ++at_;
    }
    return std::string_view(text_).substr(begin, at_ - begin);
  }

  absl::StatusOr<std::string_view> ReadQuoted() {
    const int64_t first_line = line_;
    const size_t begin = ++at_;
    size_t end = begin;
    while (true) {
      if (done()) return Refuse(first_line, "begins a quoted cell that never ends");
      if (text_[at_] == '"') {
        if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') break;
        ++at_;
      }
      if (text_[at_] == '\n') ++line_;
      text_[end++] = text_[at_++];
    }
    ++at_;
    if (!done() && text_[at_] != ',' && !AtLineEnd(at_)) {
      return Refuse(line_, "has text after the end of a quoted cell");
    }
    return std::string_view(text_).substr(begin, end - begin);
  }

  std::string& text_;
  const std::string_view name_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

absl::StatusOr<std::unique_ptr<const CsvTable>> ReadCsv(const std::string& path,
                                                        std::string_view name) {
  ASSIGN_OR_RETURN(GzipReader reader, GzipReader::Open(path, name));
  auto table = std::make_unique<CsvTable>();
  ASSIGN_OR_RETURN(table->text, reader.ReadAll(kMaxBytes));
  if (const size_t broken = FindBrokenUtf8(table->text); broken < table->text.size()) {
    const auto lines =
        std::count(table->text.begin(), table->text.begin() + static_cast<ptrdiff_t>(broken), '\n');
    return absl::InvalidArgumentError(fmt::format("{}, line {}: is not UTF-8", name, lines + 1));
  }
  Parser parser(table->text, name);
  if (parser.done()) return absl::InvalidArgumentError(fmt::format("{} is empty", name));
  std::vector<std::string_view> cells;
  RETURN_IF_ERROR(parser.ReadRow(cells));
  std::set<std::string_view> seen;
  for (const std::string_view cell : cells) {
    if (cell.empty()) return parser.Refuse(1, "leaves a column without a name");
    if (!seen.insert(cell).second) {
      return parser.Refuse(1, fmt::format("names two columns \"{}\"", cell));
    }
    table->columns.emplace_back(cell);
  }
  while (!parser.done()) {
    const int64_t line = parser.line();
    RETURN_IF_ERROR(parser.ReadRow(cells));
    if (cells.size() == 1 && cells[0].empty() && parser.done()) break;  // an empty last line
    if (cells.size() != table->columns.size()) {
      return parser.Refuse(line, fmt::format("has {} cells, the header has {}", cells.size(),
                                             table->columns.size()));
    }
    table->rows.push_back(cells);
    table->lines.push_back(line);
  }
  if (table->rows.empty()) {
    return absl::InvalidArgumentError(fmt::format("{} has no rows below its header", name));
  }
  return table;
}

}  // namespace slipway::trainer
