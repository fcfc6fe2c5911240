#include "services/training/trainer/data/parquet.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <set>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "arrow/array.h"
#include "arrow/io/file.h"
#include "arrow/io/memory.h"
#include "arrow/memory_pool.h"
#include "arrow/record_batch.h"
#include "arrow/type.h"
#include "arrow/util/decimal.h"
#include "fmt/format.h"
#include "parquet/arrow/reader.h"
#include "parquet/file_writer.h"
#include "parquet/metadata.h"
#include "parquet/properties.h"

namespace slipway::trainer {
namespace {

constexpr int64_t kBatchRows = 4096;
// What a file may make of memory while a batch of it is read, whatever it says of itself.
constexpr int64_t kMaxMemory = int64_t{2} << 30;
constexpr size_t kMaxShown = 60;

bool IsRead(const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::NA:
    case arrow::Type::BOOL:
    case arrow::Type::UINT8:
    case arrow::Type::INT8:
    case arrow::Type::UINT16:
    case arrow::Type::INT16:
    case arrow::Type::UINT32:
    case arrow::Type::INT32:
    case arrow::Type::UINT64:
    case arrow::Type::INT64:
    case arrow::Type::FLOAT:
    case arrow::Type::DOUBLE:
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256:
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::DATE32:
    case arrow::Type::DATE64:
    case arrow::Type::TIMESTAMP:
      return true;
    case arrow::Type::DICTIONARY:
      return IsRead(*static_cast<const arrow::DictionaryType&>(type).value_type());
    default:
      return false;
  }
}

std::string DateText(absl::CivilDay day) {
  return fmt::format("{:04}-{:02}-{:02}", day.year(), day.month(), day.day());
}

std::string TimeText(int64_t value, const arrow::TimestampType& type) {
  const absl::Duration since = type.unit() == arrow::TimeUnit::SECOND  ? absl::Seconds(value)
                               : type.unit() == arrow::TimeUnit::MILLI ? absl::Milliseconds(value)
                               : type.unit() == arrow::TimeUnit::MICRO ? absl::Microseconds(value)
                                                                       : absl::Nanoseconds(value);
  return absl::FormatTime(
      type.timezone().empty() ? "%E4Y-%m-%dT%H:%M:%E*S" : "%E4Y-%m-%dT%H:%M:%E*SZ",
      absl::UnixEpoch() + since, absl::UTCTimeZone());
}

template <class Array>
std::string NumberText(const arrow::Array& column, int64_t row) {
  return fmt::format("{}", static_cast<const Array&>(column).Value(row));
}

// A cell that is there, of a type that is read.
std::string TextOf(const arrow::Array& column, int64_t row) {
  switch (column.type_id()) {
    case arrow::Type::BOOL:
      return static_cast<const arrow::BooleanArray&>(column).Value(row) ? "true" : "false";
    case arrow::Type::UINT8:
      return NumberText<arrow::UInt8Array>(column, row);
    case arrow::Type::INT8:
      return NumberText<arrow::Int8Array>(column, row);
    case arrow::Type::UINT16:
      return NumberText<arrow::UInt16Array>(column, row);
    case arrow::Type::INT16:
      return NumberText<arrow::Int16Array>(column, row);
    case arrow::Type::UINT32:
      return NumberText<arrow::UInt32Array>(column, row);
    case arrow::Type::INT32:
      return NumberText<arrow::Int32Array>(column, row);
    case arrow::Type::UINT64:
      return NumberText<arrow::UInt64Array>(column, row);
    case arrow::Type::INT64:
      return NumberText<arrow::Int64Array>(column, row);
    case arrow::Type::FLOAT:
      return NumberText<arrow::FloatArray>(column, row);
    case arrow::Type::DOUBLE:
      return NumberText<arrow::DoubleArray>(column, row);
    case arrow::Type::DECIMAL128:
      return static_cast<const arrow::Decimal128Array&>(column).FormatValue(row);
    case arrow::Type::DECIMAL256:
      return static_cast<const arrow::Decimal256Array&>(column).FormatValue(row);
    case arrow::Type::STRING:
      return std::string(static_cast<const arrow::StringArray&>(column).GetView(row));
    case arrow::Type::LARGE_STRING:
      return std::string(static_cast<const arrow::LargeStringArray&>(column).GetView(row));
    case arrow::Type::DATE32:
      return DateText(absl::CivilDay(1970) +
                      static_cast<const arrow::Date32Array&>(column).Value(row));
    case arrow::Type::DATE64:
      return DateText(absl::CivilDay(absl::ToCivilSecond(
          absl::UnixEpoch() +
              absl::Milliseconds(static_cast<const arrow::Date64Array&>(column).Value(row)),
          absl::UTCTimeZone())));
    case arrow::Type::TIMESTAMP:
      return TimeText(static_cast<const arrow::TimestampArray&>(column).Value(row),
                      static_cast<const arrow::TimestampType&>(*column.type()));
    case arrow::Type::DICTIONARY: {
      const auto& encoded = static_cast<const arrow::DictionaryArray&>(column);
      const int64_t index = encoded.GetValueIndex(row);
      return encoded.dictionary()->IsNull(index) ? "" : TextOf(*encoded.dictionary(), index);
    }
    default:
      return "";
  }
}

class ParquetReader final : public TableReader {
 public:
  explicit ParquetReader(std::string_view name) : name_(name) {}

  absl::Status Open(const std::string& path) {
    parquet::ReaderProperties properties(&pool_);
    // A group's columns are read as they are needed.
    properties.enable_buffered_stream();
    parquet::ArrowReaderProperties arrow_properties(/*use_threads=*/false);
    arrow_properties.set_batch_size(kBatchRows);
    arrow_properties.set_pre_buffer(false);
    parquet::arrow::FileReaderBuilder builder;
    RETURN_IF_ERROR(Check(builder.OpenFile(path, /*memory_map=*/false, properties), ""));
    builder.memory_pool(&pool_)->properties(arrow_properties);
    auto file = builder.Build();
    RETURN_IF_ERROR(Check(file.status(), ""));
    file_ = *std::move(file);
    std::shared_ptr<arrow::Schema> schema;
    RETURN_IF_ERROR(Check(file_->GetSchema(&schema), ""));
    return ReadSchema(*schema);
  }

  const std::vector<std::string>& columns() const override { return columns_; }
  std::string place() const override { return fmt::format("row group {}, row {}", group_, row_); }

  absl::StatusOr<bool> Next(std::vector<std::string_view>& cells) override {
    try {
      return Read(cells);
    } catch (const std::exception& damage) {
      return Refuse(fmt::format(", row group {}: {}", group_, damage.what()));
    }
  }

 private:
  absl::Status Refuse(std::string_view problem) const {
    return absl::InvalidArgumentError(fmt::format("{}{}", name_, problem));
  }
  // `where` follows the file's name.
  absl::Status Check(const arrow::Status& status, std::string_view where) const {
    if (status.ok()) return absl::OkStatus();
    return Refuse(fmt::format("{}: is no Parquet file that can be read: {}", where,
                              status.message().substr(0, 300)));
  }

  absl::Status ReadSchema(const arrow::Schema& schema) {
    if (schema.num_fields() == 0) return Refuse(" has no columns");
    if (static_cast<size_t>(schema.num_fields()) > kMaxColumns) {
      return Refuse(fmt::format(" has more than {} columns", kMaxColumns));
    }
    std::set<std::string_view> seen;
    for (const auto& field : schema.fields()) {
      const std::string& name = field->name();
      if (name.empty()) return Refuse(" leaves a column without a name");
      if (!seen.insert(name).second) return Refuse(fmt::format(" names two columns \"{}\"", name));
      if (!IsRead(*field->type())) {
        return Refuse(fmt::format(", column \"{}\": has the type {}, which is not read",
                                  name.substr(0, kMaxShown), field->type()->ToString()));
      }
      columns_.push_back(name);
    }
    texts_.resize(columns_.size());
    if (file_->parquet_reader()->metadata()->num_rows() == 0) return Refuse(" has no rows");
    return absl::OkStatus();
  }

  absl::StatusOr<bool> Read(std::vector<std::string_view>& cells) {
    while (batch_ == nullptr || next_ == batch_->num_rows()) {
      ASSIGN_OR_RETURN(const bool more, ReadBatch());
      if (!more) return false;
    }
    for (size_t i = 0; i < texts_.size(); ++i) {
      const arrow::Array& column = *batch_->column(static_cast<int>(i));
      texts_[i] = column.IsNull(next_) ? "" : TextOf(column, next_);
    }
    ++next_;
    ++row_;
    cells.assign(texts_.begin(), texts_.end());
    return true;
  }

  absl::StatusOr<bool> ReadBatch() {
    while (true) {
      if (batches_ == nullptr) {
        if (group_ == file_->num_row_groups()) return false;
        auto opened = file_->GetRecordBatchReader({group_++});
        RETURN_IF_ERROR(CheckGroup(opened.status()));
        batches_ = *std::move(opened);
        row_ = 0;
      }
      RETURN_IF_ERROR(CheckGroup(batches_->ReadNext(&batch_)));
      next_ = 0;
      if (batch_ != nullptr) break;
      batches_ = nullptr;
    }
    // Texts are UTF-8, places in a dictionary are there.
    for (int i = 0; i < batch_->num_columns(); ++i) {
      const arrow::Status valid = batch_->column(i)->ValidateFull();
      if (!valid.ok()) {
        return Refuse(fmt::format(", row group {}, column \"{}\": {}", group_,
                                  columns_[static_cast<size_t>(i)].substr(0, kMaxShown),
                                  valid.message()));
      }
    }
    return true;
  }
  absl::Status CheckGroup(const arrow::Status& status) const {
    return Check(status, fmt::format(", row group {}", group_));
  }

  const std::string name_;
  arrow::CappedMemoryPool pool_{arrow::system_memory_pool(), kMaxMemory};
  std::unique_ptr<parquet::arrow::FileReader> file_;
  std::vector<std::string> columns_;
  int group_ = 0;                                      // the one that is read, from 1
  std::unique_ptr<arrow::RecordBatchReader> batches_;  // of the group
  std::shared_ptr<arrow::RecordBatch> batch_;
  int64_t next_ = 0;  // in the batch
  int64_t row_ = 0;   // in the group, from 1
  std::vector<std::string> texts_;
};

// Behind the footer: its size, and the mark that the file begins with, too.
constexpr int64_t kTrailerBytes = 8;
constexpr std::string_view kMark = "PAR1";
constexpr int64_t kMostFooterBytes = 64 << 20;

// Where the last byte of a group's columns is, and one more.
int64_t EndOf(const parquet::RowGroupMetaData& group) {
  int64_t end = 0;
  for (int i = 0; i < group.num_columns(); ++i) {
    const auto column = group.ColumnChunk(i);
    int64_t start = column->data_page_offset();
    if (column->has_dictionary_page() && column->dictionary_page_offset() > 0) {
      start = std::min(start, column->dictionary_page_offset());
    }
    end = std::max(end, start + column->total_compressed_size());
  }
  return end;
}

absl::StatusOr<ParquetBeginning> CutBehindGroups(
    std::string_view name, int64_t size, int64_t most,
    absl::FunctionRef<absl::StatusOr<std::string>(int64_t offset, int64_t bytes)> read) {
  const auto refuse = [&](std::string_view problem) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", name, problem));
  };
  constexpr std::string_view kDamaged = "is no Parquet file that can be read: its end is damaged";
  const auto mark_bytes = static_cast<int64_t>(kMark.size());
  if (size < kTrailerBytes + mark_bytes) return refuse(kDamaged);
  ASSIGN_OR_RETURN(const std::string trailer, read(size - kTrailerBytes, kTrailerBytes));
  uint32_t footer_bytes = 0;
  if (std::ssize(trailer) != kTrailerBytes || !trailer.ends_with(kMark)) return refuse(kDamaged);
  std::memcpy(&footer_bytes, trailer.data(), sizeof(footer_bytes));
  const int64_t groups_end = size - kTrailerBytes - int64_t{footer_bytes};
  if (groups_end < mark_bytes || footer_bytes > kMostFooterBytes) return refuse(kDamaged);
  ASSIGN_OR_RETURN(const std::string footer, read(groups_end, footer_bytes));
  if (footer.size() != footer_bytes) return refuse(kDamaged);
  const auto metadata = parquet::FileMetaData::Make(footer.data(), std::ssize(footer));
  ParquetBeginning beginning;
  beginning.all_rows = metadata->num_rows();
  std::vector<int> groups;
  int64_t end = mark_bytes;
  for (int i = 0; i < metadata->num_row_groups(); ++i) {
    const auto group = metadata->RowGroup(i);
    const int64_t group_end = EndOf(*group);
    if (group_end < 0 || group_end > groups_end) return refuse(kDamaged);
    if (group_end > most) break;
    end = std::max(end, group_end);
    groups.push_back(i);
    beginning.rows += group->num_rows();
  }
  if (groups.empty() && metadata->num_row_groups() > 0) {
    return refuse(fmt::format("its first row group is not within its first {} MiB", most >> 20));
  }
  ASSIGN_OR_RETURN(beginning.content, read(0, end));
  if (std::ssize(beginning.content) != end) return refuse(kDamaged);
  const auto sink = arrow::io::BufferOutputStream::Create();
  if (!sink.ok()) return absl::ResourceExhaustedError(sink.status().message());
  parquet::WriteFileMetaData(*metadata->Subset(groups), sink->get());
  const auto written = (*sink)->Finish();
  if (!written.ok()) return absl::ResourceExhaustedError(written.status().message());
  beginning.content += (*written)->ToString();
  return beginning;
}

}  // namespace

absl::StatusOr<ParquetBeginning> ReadParquetBeginning(
    std::string_view name, int64_t size, int64_t most,
    absl::FunctionRef<absl::StatusOr<std::string>(int64_t offset, int64_t bytes)> read) {
  try {
    return CutBehindGroups(name, size, most, read);
  } catch (const std::exception& damage) {
    return absl::InvalidArgumentError(
        fmt::format("{}: is no Parquet file that can be read: {}", name, damage.what()));
  }
}

absl::StatusOr<std::unique_ptr<TableReader>> OpenParquet(const std::string& path,
                                                         std::string_view name) {
  auto reader = std::make_unique<ParquetReader>(name);
  try {
    RETURN_IF_ERROR(reader->Open(path));
  } catch (const std::exception& damage) {
    return absl::InvalidArgumentError(
        fmt::format("{}: is no Parquet file that can be read: {}", name, damage.what()));
  }
  return reader;
}

}  // namespace slipway::trainer
