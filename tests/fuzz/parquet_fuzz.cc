// Any bytes as a Parquet file: rows are as long as the header, and come to an end.

#include <string>
#include <string_view>
#include <vector>

#include "services/training/trainer/data/parquet.h"
#include "tests/fuzz/file_of.h"
#include "tests/support/training/parquet_files.h"

using namespace slipway;

std::vector<std::string> slipway::FuzzSeeds() {
  arrow::Int64Builder numbers;
  arrow::StringBuilder texts;
  arrow::StringDictionary32Builder kinds;
  for (int i = 0; i < 5; ++i) {
    const bool added = numbers.Append(i).ok() && texts.Append(std::string(i, 'x')).ok() &&
                       (i == 3 ? kinds.AppendNull() : kinds.Append(i % 2 == 0 ? "a" : "b")).ok();
    FuzzExpect(added, "a seed can be made");
  }
  return {ParquetFile({{"n", numbers.Finish().ValueOrDie()},
                       {"t", texts.Finish().ValueOrDie()},
                       {"k", kinds.Finish().ValueOrDie()}},
                      2)};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FileOf file(data, size);
  auto table = trainer::OpenParquet(file.path(), "t");
  absl::Status status = table.status();
  if (table.ok()) {
    std::vector<std::string_view> cells;
    // A page may say of itself that it repeats one value as often as it likes.
    for (int row = 0; row < 100'000; ++row) {
      const auto more = (*table)->Next(cells);
      status = more.status();
      if (!more.ok() || !*more) break;
      FuzzExpect(cells.size() == (*table)->columns().size(), "each row has each column");
    }
  }
  FuzzExpect(status.ok() || std::string(status.message()).starts_with("t"),
             "a fault names its file");
  return 0;
}
