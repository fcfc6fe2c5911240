#include "services/training/trainer/data/table_reader.h"

#include "services/training/trainer/data/csv.h"
#include "services/training/trainer/data/jsonl.h"
#include "services/training/trainer/data/parquet.h"

namespace slipway::trainer {

absl::StatusOr<std::unique_ptr<TableReader>> OpenTableFile(std::string_view format,
                                                           const std::string& path,
                                                           std::string_view name) {
  if (format == "parquet") return OpenParquet(path, name);
  return format == "jsonl" ? OpenJsonl(path, name) : OpenCsv(path, name);
}

}  // namespace slipway::trainer
