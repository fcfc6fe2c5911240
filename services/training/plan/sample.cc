#include "services/training/plan/sample.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/files/files.h"
#include "common/idx/gzip_reader.h"
#include "common/idx/idx.h"
#include "fmt/format.h"

namespace slipway::training {
namespace {

constexpr size_t kPieceBytes = 64 << 10;

// Where the last whole row of a table ends: behind a line's end that is in no quoted cell.
size_t EndOfRows(const std::string& format, std::string_view text) {
  // In JSON no line's end is quoted.
  if (format == "jsonl") return text.rfind('\n') + 1;
  bool quoted = false;
  size_t end = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '"') quoted = !quoted;
    if (text[at] == '\n' && !quoted) end = at + 1;
  }
  return end;
}

void AppendSize(int64_t size, std::string& out) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(size >> shift & 0xff);
}

// The array's first `count` items, as an array of its own.
std::string CutArray(std::string_view content, const IdxHeader& header, int64_t count) {
  std::string out(content.substr(0, 4));
  AppendSize(count, out);
  out += content.substr(8, header.bytes - 8 + static_cast<size_t>(count * header.item_bytes()));
  return out;
}

int64_t ItemsIn(std::string_view content, const IdxHeader& header) {
  const auto bytes = static_cast<int64_t>(content.size() - header.bytes);
  return std::min(header.shape[0], bytes / header.item_bytes());
}

}  // namespace

absl::StatusOr<const Sample::Beginning*> Sample::Read(const std::string& path) {
  if (const auto read = beginnings_.find(path); read != beginnings_.end()) return &read->second;
  const auto file = std::find_if(dataset_.files().begin(), dataset_.files().end(),
                                 [&](const auto& each) { return each.path() == path; });
  if (file == dataset_.files().end()) {
    return absl::NotFoundError(fmt::format("{} has no file \"{}\"", dataset_.name(), path));
  }
  ASSIGN_OR_RETURN(const std::string stored, read_(*file, kReadBytes));
  const bool whole = std::ssize(stored) >= file->size_bytes();
  const std::string packed = fmt::format("{}/packed-{}", folder_, beginnings_.size());
  RETURN_IF_ERROR(WriteFileAtomically(packed, stored));
  ASSIGN_OR_RETURN(GzipReader reader, GzipReader::Open(packed, path));
  Beginning beginning;
  if (!whole) {
    beginning.share = static_cast<double>(stored.size()) / static_cast<double>(file->size_bytes());
  }
  std::string piece(kPieceBytes, '\0');
  while (std::ssize(beginning.content) < kKeptBytes) {
    const absl::StatusOr<size_t> got = reader.Read(piece.data(), piece.size());
    // Of a packed file that was cut the last piece is lost.
    if (!got.ok() && whole) return got.status();
    if (!got.ok() || *got == 0) return &(beginnings_[path] = std::move(beginning));
    beginning.content.append(piece, 0, *got);
  }
  // How much of the file this is nobody knows; less than what was read.
  beginning.share = std::min(beginning.share, 0.999);
  return &(beginnings_[path] = std::move(beginning));
}

absl::Status Sample::Keep(const std::string& path, const std::string& content, double scale) {
  if (taken_.contains(path)) return absl::OkStatus();
  const std::string local = fmt::format("{}/part-{}", folder_, taken_.size());
  RETURN_IF_ERROR(WriteFileAtomically(local, content));
  taken_[path] = {local, scale};
  return absl::OkStatus();
}

absl::Status Sample::TakeTable(const std::string& format, const std::string& path,
                               const std::string& field) {
  ASSIGN_OR_RETURN(const Beginning* beginning, Read(path));
  if (beginning->share == 1) return Keep(path, beginning->content, 1);
  const size_t end = EndOfRows(format, beginning->content);
  if (end == 0) {
    return InvalidField(
        field, fmt::format("{} has no row in its first {} bytes", path, beginning->content.size()));
  }
  const double kept = static_cast<double>(end) / static_cast<double>(beginning->content.size());
  return Keep(path, beginning->content.substr(0, end), 1 / (beginning->share * kept));
}

absl::Status Sample::TakeArrays(const v1::Part& part, const std::string& field) {
  ASSIGN_OR_RETURN(const Beginning* inputs, Read(part.inputs()));
  ASSIGN_OR_RETURN(const Beginning* targets, Read(part.targets()));
  const auto inputs_header = IdxHeader::Parse(inputs->content, part.inputs());
  const auto targets_header = IdxHeader::Parse(targets->content, part.targets());
  const bool whole = inputs->share == 1 && targets->share == 1;
  if (whole || !inputs_header.ok() || !targets_header.ok() ||
      inputs_header->shape[0] != targets_header->shape[0]) {
    // Their reader says what is wrong with them.
    RETURN_IF_ERROR(Keep(part.inputs(), inputs->content, 1));
    return Keep(part.targets(), targets->content, 1);
  }
  const int64_t rows = std::min(ItemsIn(inputs->content, *inputs_header),
                                ItemsIn(targets->content, *targets_header));
  if (rows == 0) {
    return InvalidField(field + ".inputs", fmt::format("{} has no row in its first {} bytes",
                                                       part.inputs(), inputs->content.size()));
  }
  const double scale = static_cast<double>(inputs_header->shape[0]) / static_cast<double>(rows);
  RETURN_IF_ERROR(Keep(part.inputs(), CutArray(inputs->content, *inputs_header, rows), scale));
  return Keep(part.targets(), CutArray(targets->content, *targets_header, rows), scale);
}

absl::Status Sample::Take(const v1::DataSpec& data, const v1::Part& part,
                          const std::string& field) {
  if (data.format() == "idx") return TakeArrays(part, field);
  if (data.format() == "csv" || data.format() == "jsonl") {
    return TakeTable(data.format(), part.inputs(), field + ".inputs");
  }
  for (const std::string& path : {part.inputs(), part.targets()}) {
    if (path.empty()) continue;
    ASSIGN_OR_RETURN(const Beginning* beginning, Read(path));
    if (beginning->share < 1) {
      return InvalidField("spec.data.format",
                          fmt::format("{} is too large to be planned with; larger files than {} "
                                      "MiB must be csv, jsonl or idx",
                                      path, kReadBytes >> 20));
    }
    RETURN_IF_ERROR(Keep(path, beginning->content, 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Sample::LocalPath(const std::string& path) const {
  const auto taken = taken_.find(path);
  if (taken == taken_.end()) {
    return absl::InvalidArgumentError(fmt::format("{} was not sampled", path));
  }
  return taken->second.local_path;
}

double Sample::scale(const v1::Part& part) const {
  const auto taken = taken_.find(part.inputs());
  return taken == taken_.end() ? 1 : taken->second.scale;
}

}  // namespace slipway::training
