#include "services/training/trainer/data/jsonl.h"

#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/training/trainer/data/record_reader.h"

namespace slipway::trainer {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxShown = 60;

// Puts the members of one object into cells. With nlohmann's events, so that numbers stay as they
// are written and nothing is built that is not asked for.
class RowParser final : public nlohmann::json_sax<Json> {
 public:
  // Adds what keys it does not know.
  explicit RowParser(std::vector<std::string>& columns) : columns_(columns) {}

  // Reads `record` into cells(). What is wrong with it, or nothing.
  std::string Parse(std::string_view record) {
    problem_.clear();
    depth_ = 0;
    ++row_;
    for (std::string& cell : cells_) cell.clear();
    if (!Json::sax_parse(record, this) && problem_.empty()) problem_ = "is not JSON";
    return problem_;
  }
  const std::vector<std::string>& cells() const { return cells_; }

  bool null() override { return Put(""); }
  bool boolean(bool value) override { return Put(value ? "true" : "false"); }
  bool number_integer(int64_t value) override { return Put(fmt::format("{}", value)); }
  bool number_unsigned(uint64_t value) override { return Put(fmt::format("{}", value)); }
  bool number_float(double, const std::string& text) override { return Put(text); }
  bool string(std::string& text) override { return Put(text); }
  bool binary(Json::binary_t&) override { return Put(""); }
  bool start_object(size_t) override { return depth_++ == 0 || RefuseCell(); }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return depth_ == 0 ? Put("") : RefuseCell(); }
  bool end_array() override { return true; }

  bool key(std::string& key) override {
    if (key.empty()) return Refuse("has a key that is empty");
    auto found = places_.find(key);
    if (found == places_.end()) {
      if (columns_.size() == TableReader::kMaxColumns) {
        return Refuse(fmt::format("has a key too many: there are {}", TableReader::kMaxColumns));
      }
      found = places_.emplace(key, columns_.size()).first;
      columns_.push_back(key);
      cells_.emplace_back();
      seen_.push_back(0);
    }
    place_ = found->second;
    if (std::exchange(seen_[place_], row_) != row_) return true;
    return Refuse(fmt::format("has two values of \"{}\"", key.substr(0, kMaxShown)));
  }

  bool parse_error(size_t at, const std::string&, const Json::exception&) override {
    return Refuse(fmt::format("is not JSON, at byte {}", at));
  }

 private:
  bool Refuse(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }
  bool RefuseCell() {
    return Refuse(fmt::format("must have a text, a number, true, false or null for \"{}\"",
                              columns_[place_].substr(0, kMaxShown)));
  }
  bool Put(std::string_view value) {
    if (depth_ == 0) return Refuse("must be an object: {\"column\": value, ...}");
    cells_[place_] = value;
    return true;
  }

  std::vector<std::string>& columns_;
  std::map<std::string, size_t, std::less<>> places_;
  std::vector<std::string> cells_;
  std::vector<int64_t> seen_;  // the row in which the column was seen last
  int64_t row_ = 0;
  size_t place_ = 0;
  int depth_ = 0;
  std::string problem_;
};

class JsonlReader final : public TableReader {
 public:
  explicit JsonlReader(std::string_view name) : name_(name) {}

  // Reads the file once for its keys.
  absl::Status Open(const std::string& path) {
    RETURN_IF_ERROR(Rewind(path));
    bool has_rows = false;
    while (true) {
      ASSIGN_OR_RETURN(const bool more, ReadRow());
      if (!more) break;
      has_rows = true;
    }
    if (!has_rows) return absl::InvalidArgumentError(fmt::format("{} has no rows", name_));
    if (columns_.empty()) {
      return absl::InvalidArgumentError(fmt::format("{} has no columns", name_));
    }
    return Rewind(path);
  }

  const std::vector<std::string>& columns() const override { return columns_; }
  std::string place() const override { return fmt::format("line {}", records_->line()); }

  absl::StatusOr<bool> Next(std::vector<std::string_view>& cells) override {
    ASSIGN_OR_RETURN(const bool more, ReadRow());
    if (more) cells.assign(parser_.cells().begin(), parser_.cells().end());
    return more;
  }

 private:
  absl::Status Rewind(const std::string& path) {
    ASSIGN_OR_RETURN(RecordReader records,
                     RecordReader::Open(path, name_, RecordReader::Quotes::kAreNothing));
    records_.emplace(std::move(records));
    return absl::OkStatus();
  }
  absl::StatusOr<bool> ReadRow() {
    while (true) {
      ASSIGN_OR_RETURN(const auto record, records_->Next());
      if (!record.has_value()) return false;
      const std::string_view text(record->data(), record->size());
      if (text.find_first_not_of(" \t") == std::string_view::npos) continue;
      const std::string problem = parser_.Parse(text);
      if (problem.empty()) return true;
      return records_->Refuse(records_->line(), problem);
    }
  }

  const std::string name_;
  std::optional<RecordReader> records_;
  std::vector<std::string> columns_;
  RowParser parser_{columns_};
};

}  // namespace

absl::StatusOr<std::unique_ptr<TableReader>> OpenJsonl(const std::string& path,
                                                       std::string_view name) {
  auto reader = std::make_unique<JsonlReader>(name);
  RETURN_IF_ERROR(reader->Open(path));
  return reader;
}

}  // namespace slipway::trainer
