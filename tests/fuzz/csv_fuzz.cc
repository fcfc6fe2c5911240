// Any bytes as a CSV table: rows are as long as the header, and what was read, written down with
// every cell quoted, is read again as the same.

#include <string>
#include <string_view>
#include <vector>

#include "services/training/trainer/data/csv.h"
#include "tests/fuzz/file_of.h"

namespace {

using namespace slipway;

struct Whole {
  std::vector<std::vector<std::string>> rows;  // the header first
  bool ok = false;
};

Whole Read(std::string_view text) {
  const FileOf file(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  Whole whole;
  auto table = trainer::OpenCsv(file.path(), "t");
  absl::Status status = table.status();
  if (table.ok()) {
    whole.rows.push_back((*table)->columns());
    std::vector<std::string_view> cells;
    while (true) {
      const auto more = (*table)->Next(cells);
      status = more.status();
      if (!more.ok() || !*more) break;
      FuzzExpect(cells.size() == whole.rows[0].size(), "rows are as long as the header");
      whole.rows.emplace_back(cells.begin(), cells.end());
    }
  }
  whole.ok = status.ok();
  FuzzExpect(whole.ok || std::string(status.message()).starts_with("t"), "a fault names its file");
  return whole;
}

}  // namespace

std::vector<std::string> slipway::FuzzSeeds() {
  return {
      "a,b\n1,2\n3,4\n",
      "a,\"b \"\"c\"\"\"\r\n\"two\nlines\",\r\n,\"\"\r\n",
      "\xef\xbb\xbfname,\xc3\xa9\n\xe2\x82\xac,1",
      "a\n\n\n1\n\n",
      std::string("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\xe4\x32\xe4\x02\x00\x2b\xdb\x0c"
                  "\x40\x04\x00\x00\x00",
                  24),
  };
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Whole whole = Read({reinterpret_cast<const char*>(data), size});
  if (!whole.ok) return 0;
  std::string again;
  for (const auto& row : whole.rows) {
    for (const std::string& cell : row) {
      again += again.empty() || again.back() == '\n' ? "\"" : ",\"";
      for (const char c : cell) again += c == '"' ? std::string("\"\"") : std::string(1, c);
      again += '"';
    }
    again += '\n';
  }
  FuzzExpect(Read(again).rows == whole.rows, "what is written is read back");
  return 0;
}
