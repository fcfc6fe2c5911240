#ifndef SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_TRAINER_DATA_FILES_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_TRAINER_DATA_FILES_H_

#include <zlib.h>

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "services/training/trainer/data/table_reader.h"

namespace slipway::trainer {

inline void WriteFile(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::ssize(bytes));
}

inline std::string Gzip(std::string_view bytes) {
  z_stream stream{};
  ::deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);  // + 16: gzip
  std::string packed(::deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  ::deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  ::deflateEnd(&stream);
  return packed;
}

/// An IDX file of bytes: header for `dims`, then `elements` whatever their number.
inline std::string Idx(const std::vector<uint32_t>& dims, std::string_view elements) {
  std::string file = {0, 0, 8, static_cast<char>(dims.size())};
  for (const uint32_t dim : dims) {
    for (int shift = 24; shift >= 0; shift -= 8) file += static_cast<char>(dim >> shift);
  }
  return file.append(elements);
}

/// A table that was read to its end.
struct WholeTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> places;
};

inline absl::StatusOr<WholeTable> ReadWhole(absl::StatusOr<std::unique_ptr<TableReader>> reader) {
  RETURN_IF_ERROR(reader.status());
  WholeTable table{.columns = (*reader)->columns(), .rows = {}, .places = {}};
  std::vector<std::string_view> cells;
  while (true) {
    ASSIGN_OR_RETURN(const bool more, (*reader)->Next(cells));
    if (!more) return table;
    table.rows.emplace_back(cells.begin(), cells.end());
    table.places.push_back((*reader)->place());
  }
}

}  // namespace slipway::trainer

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_TRAINER_DATA_FILES_H_
