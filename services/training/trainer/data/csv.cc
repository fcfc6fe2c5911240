#include "services/training/trainer/data/csv.h"

#include <optional>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "services/training/trainer/data/record_reader.h"

namespace slipway::trainer {
namespace {

using Cells = std::vector<std::string_view>;

// Walks over a record once. A quoted cell is unquoted where it stands (it only gets shorter), so
// that every cell is a view.
class Parser {
 public:
  Parser(const RecordReader& records, std::span<char> record)
      : records_(records), text_(record), line_(records.line()) {}

  // An empty record gives one empty cell.
  absl::Status Read(Cells& cells) {
    cells.clear();
    while (true) {
      if (cells.size() == TableReader::kMaxColumns) {
        return Refuse(line_, fmt::format("has more than {} cells", TableReader::kMaxColumns));
      }
      ASSIGN_OR_RETURN(cells.emplace_back(),
                       !done() && text_[at_] == '"' ? ReadQuoted() : ReadPlain());
      if (done()) return absl::OkStatus();
      ++at_;  // the ','
    }
  }

 private:
  bool done() const { return at_ == text_.size(); }
  absl::Status Refuse(int64_t line, std::string_view problem) const {
    return records_.Refuse(line, problem);
  }
  std::string_view Between(size_t begin, size_t end) const {
    return {text_.data() + begin, end - begin};
  }

  absl::StatusOr<std::string_view> ReadPlain() {
    const size_t begin = at_;
    while (!done() && text_[at_] != ',') {
      if (text_[at_] == '"') return Refuse(line_, "has a quote within a cell that is not quoted");
      if (text_[at_] == '\0') return Refuse(line_, "has a NUL byte: is this a CSV file?");
      ++at_;
    }
    return Between(begin, at_);
  }

  absl::StatusOr<std::string_view> ReadQuoted() {
    const int64_t first_line = line_;
    const size_t begin = ++at_;
    size_t end = begin;
    while (true) {
      if (done()) return Refuse(first_line, "begins a quoted cell that never ends");
      if (text_[at_] == '"') {
        if (at_ + 1 == text_.size() || text_[at_ + 1] != '"') break;
        ++at_;
      }
      if (text_[at_] == '\n') ++line_;
      text_[end++] = text_[at_++];
    }
    ++at_;
    if (!done() && text_[at_] != ',') {
      return Refuse(line_, "has text after the end of a quoted cell");
    }
    return Between(begin, end);
  }

  const RecordReader& records_;
  const std::span<char> text_;
  size_t at_ = 0;
  int64_t line_;
};

class CsvReader final : public TableReader {
 public:
  CsvReader(RecordReader records, std::string_view name)
      : records_(std::move(records)), name_(name) {}

  absl::Status ReadHeader() {
    ASSIGN_OR_RETURN(const auto record, records_.Next());
    if (!record.has_value()) return absl::InvalidArgumentError(fmt::format("{} is empty", name_));
    Cells cells;
    RETURN_IF_ERROR(Parser(records_, *record).Read(cells));
    std::set<std::string_view> seen;
    for (const std::string_view cell : cells) {
      if (cell.empty()) return records_.Refuse(1, "leaves a column without a name");
      if (!seen.insert(cell).second) {
        return records_.Refuse(1, fmt::format("names two columns \"{}\"", cell));
      }
    }
    columns_.assign(cells.begin(), cells.end());
    return absl::OkStatus();
  }

  const std::vector<std::string>& columns() const override { return columns_; }
  std::string place() const override { return fmt::format("line {}", records_.line()); }

  absl::StatusOr<bool> Next(Cells& cells) override {
    ASSIGN_OR_RETURN(const auto record, records_.Next());
    bool ended = !record.has_value();
    if (!ended && record->empty()) {
      // The last line may be empty.
      ASSIGN_OR_RETURN(ended, records_.AtEnd());
      cells.assign(1, "");
    } else if (!ended) {
      RETURN_IF_ERROR(Parser(records_, *record).Read(cells));
    }
    if (ended) {
      if (has_rows_) return false;
      return absl::InvalidArgumentError(fmt::format("{} has no rows below its header", name_));
    }
    has_rows_ = true;
    if (cells.size() == columns_.size()) return true;
    return records_.Refuse(records_.line(), fmt::format("has {} cells, the header has {}",
                                                        cells.size(), columns_.size()));
  }

 private:
  RecordReader records_;
  const std::string name_;
  std::vector<std::string> columns_;
  bool has_rows_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TableReader>> OpenCsv(const std::string& path,
                                                     std::string_view name) {
  ASSIGN_OR_RETURN(RecordReader records,
                   RecordReader::Open(path, name, RecordReader::Quotes::kKeepLinesTogether));
  auto reader = std::make_unique<CsvReader>(std::move(records), name);
  RETURN_IF_ERROR(reader->ReadHeader());
  return reader;
}

}  // namespace slipway::trainer
