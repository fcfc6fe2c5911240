// Any bytes as a table of JSON lines: the second pass finds what the first one did, and every cell
// is UTF-8.

#include <string>
#include <string_view>
#include <vector>

#include "nlohmann/json.hpp"
#include "services/training/trainer/data/jsonl.h"
#include "tests/fuzz/file_of.h"

using namespace slipway;

std::vector<std::string> slipway::FuzzSeeds() {
  return {
      "{\"a\": 1, \"b\": \"x\"}\n{\"a\": -2.5e3, \"c\": null}\n",
      "{\"a\": true}\r\n\n{\"a\": \"\\u00e9\\n\"}",
      "{\"a\": [1]}\n",
      "{\"a\": {\"b\": 1}}\n",
      "[]\n",
  };
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const FileOf file(data, size);
  auto table = trainer::OpenJsonl(file.path(), "t");
  if (!table.ok()) {
    FuzzExpect(std::string(table.status().message()).starts_with("t"), "a fault names its file");
    return 0;
  }
  FuzzExpect(!(*table)->columns().empty(), "there are columns");
  std::vector<std::string_view> cells;
  while (true) {
    const auto more = (*table)->Next(cells);
    FuzzExpect(more.ok(), "what could be read once can be read twice");
    if (!*more) break;
    FuzzExpect(cells.size() == (*table)->columns().size(), "each row has each column");
    for (const std::string_view cell : cells) {
      // Texts are UTF-8, whatever they were escaped as.
      (void)nlohmann::json(std::string(cell)).dump();
    }
  }
  return 0;
}
