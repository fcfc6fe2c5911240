#include "common/idx/idx.h"

#include <array>
#include <vector>

#include "common/idx/gzip_reader.h"
#include "fmt/format.h"

namespace slipway {
namespace {

constexpr unsigned char kUnsignedByte = 8;
constexpr size_t kMaxRank = 8;

}  // namespace

absl::StatusOr<IdxArray> ReadIdx(const std::string& path, std::string_view name) {
  ASSIGN_OR_RETURN(GzipReader reader, GzipReader::Open(path, name));
  const auto refuse = [&](std::string_view problem) {
    return absl::InvalidArgumentError(fmt::format("{} {}", name, problem));
  };
  std::array<unsigned char, 4> magic{};
  ASSIGN_OR_RETURN(size_t got, reader.Read(reinterpret_cast<char*>(magic.data()), magic.size()));
  if (got < magic.size()) return refuse("is cut short within its header");
  if (magic[0] != 0 || magic[1] != 0) {
    return refuse("is no IDX file: it does not begin with two zero bytes");
  }
  if (magic[2] != kUnsignedByte) {
    return refuse(
        fmt::format("has elements of type {}; only 8 (unsigned bytes) is taken", magic[2]));
  }
  const size_t rank = magic[3];
  if (rank < 1 || rank > kMaxRank) {
    return refuse(fmt::format("has {} dimensions; 1 to {} are taken", rank, kMaxRank));
  }
  std::array<unsigned char, 4 * kMaxRank> sizes{};
  ASSIGN_OR_RETURN(got, reader.Read(reinterpret_cast<char*>(sizes.data()), 4 * rank));
  if (got < 4 * rank) return refuse("is cut short within its header");

  std::vector<int64_t> dims;
  for (size_t i = 0; i < rank; ++i) {
    const unsigned char* const at = sizes.data() + 4 * i;
    dims.push_back(int64_t{at[0]} << 24 | int64_t{at[1]} << 16 | int64_t{at[2]} << 8 | at[3]);
  }
  IdxArray array{Shape(std::move(dims)), {}};
  ASSIGN_OR_RETURN(const int64_t count, array.shape.ElementCount(name));
  if (count == 0) return refuse(fmt::format("is empty: its shape is {}", array.shape.ToString()));
  if (static_cast<uint64_t>(count) > reader.largest_content()) {
    return refuse(
        fmt::format("is cut short: its header promises {} bytes for {}, more than the "
                    "file can hold",
                    count, array.shape.ToString()));
  }
  array.elements.resize(static_cast<size_t>(count));
  ASSIGN_OR_RETURN(got, reader.Read(array.elements.data(), array.elements.size()));
  if (got < array.elements.size()) {
    return refuse(fmt::format("is cut short: its header promises {} bytes for {}, and {} are there",
                              count, array.shape.ToString(), got));
  }
  RETURN_IF_ERROR(reader.ExpectEnd());
  return array;
}

}  // namespace slipway
