#include "common/idx/idx.h"

#include <utility>
#include <vector>

#include "common/idx/gzip_reader.h"
#include "fmt/format.h"

namespace slipway {
namespace {

constexpr unsigned char kUnsignedByte = 8;
constexpr unsigned char kMaxRank = 8;
constexpr size_t kMagicBytes = 4;
constexpr size_t kDimBytes = 4;
constexpr std::string_view kCut = "is cut short within its header";

absl::Status Refuse(std::string_view name, std::string_view problem) {
  return absl::InvalidArgumentError(fmt::format("{} {}", name, problem));
}

// How long the header is that begins with these bytes.
absl::StatusOr<size_t> HeaderBytes(std::string_view beginning, std::string_view name) {
  if (beginning.size() < kMagicBytes) return Refuse(name, kCut);
  if (beginning[0] != 0 || beginning[1] != 0) {
    return Refuse(name, "is no IDX file: it does not begin with two zero bytes");
  }
  const auto type = static_cast<unsigned char>(beginning[2]);
  if (type != kUnsignedByte) {
    return Refuse(name,
                  fmt::format("has elements of type {}; only 8 (unsigned bytes) is taken", type));
  }
  const auto rank = static_cast<unsigned char>(beginning[3]);
  if (rank < 1 || rank > kMaxRank) {
    return Refuse(name, fmt::format("has {} dimensions; 1 to {} are taken", rank, kMaxRank));
  }
  return kMagicBytes + kDimBytes * rank;
}

}  // namespace

absl::StatusOr<IdxHeader> IdxHeader::Parse(std::string_view beginning, std::string_view name) {
  ASSIGN_OR_RETURN(const size_t bytes, HeaderBytes(beginning, name));
  if (beginning.size() < bytes) return Refuse(name, kCut);
  const auto byte = [&](size_t at) { return int64_t{static_cast<unsigned char>(beginning[at])}; };
  std::vector<int64_t> dims;
  for (size_t at = kMagicBytes; at < bytes; at += kDimBytes) {
    dims.push_back(byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3));
  }
  IdxHeader header{Shape(std::move(dims)), bytes};
  ASSIGN_OR_RETURN(const int64_t count, header.shape.ElementCount(name));
  if (count == 0) {
    return Refuse(name, fmt::format("is empty: its shape is {}", header.shape.ToString()));
  }
  return header;
}

absl::StatusOr<IdxArray> ReadIdx(const std::string& path, std::string_view name) {
  ASSIGN_OR_RETURN(GzipReader reader, GzipReader::Open(path, name));
  const auto refuse = [&](std::string_view problem) { return Refuse(name, problem); };
  std::string beginning(kMagicBytes, '\0');
  ASSIGN_OR_RETURN(size_t got, reader.Read(beginning.data(), beginning.size()));
  beginning.resize(got);
  ASSIGN_OR_RETURN(const size_t header_bytes, HeaderBytes(beginning, name));
  beginning.resize(header_bytes);
  ASSIGN_OR_RETURN(got, reader.Read(beginning.data() + kMagicBytes, header_bytes - kMagicBytes));
  beginning.resize(kMagicBytes + got);
  ASSIGN_OR_RETURN(IdxHeader header, IdxHeader::Parse(beginning, name));
  ASSIGN_OR_RETURN(const int64_t count, header.shape.ElementCount(name));
  IdxArray array{std::move(header.shape), {}};
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
