#ifndef SLIPWAY_TESTS_SUPPORT_TRAINING_PARQUET_FILES_H_
#define SLIPWAY_TESTS_SUPPORT_TRAINING_PARQUET_FILES_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arrow/api.h"
#include "arrow/io/memory.h"
#include "parquet/arrow/writer.h"

namespace slipway {

/// A Parquet file with these columns, in groups of so many rows, not packed.
inline std::string ParquetFile(
    const std::vector<std::pair<std::string, std::shared_ptr<arrow::Array>>>& columns,
    int64_t group_rows = 1000) {
  arrow::FieldVector fields;
  arrow::ArrayVector arrays;
  for (const auto& [name, array] : columns) {
    fields.push_back(arrow::field(name, array->type()));
    arrays.push_back(array);
  }
  const auto table = arrow::Table::Make(arrow::schema(fields), arrays);
  const auto out = arrow::io::BufferOutputStream::Create().ValueOrDie();
  // With Arrow's own schema, which keeps dictionaries and large texts what they are.
  const auto arrow_properties = parquet::ArrowWriterProperties::Builder().store_schema()->build();
  const auto properties = parquet::WriterProperties::Builder().disable_dictionary()->build();
  const arrow::Status written = parquet::arrow::WriteTable(
      *table, arrow::default_memory_pool(), out, group_rows, properties, arrow_properties);
  if (!written.ok()) written.Abort();
  return out->Finish().ValueOrDie()->ToString();
}

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_TRAINING_PARQUET_FILES_H_
