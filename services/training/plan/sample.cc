#include "services/training/plan/sample.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "common/files/files.h"
#include "common/idx/gzip_reader.h"
#include "common/idx/idx.h"
#include "fmt/format.h"
#include "services/training/trainer/data/archive_reader.h"
#include "services/training/trainer/data/image_examples.h"
#include "services/training/trainer/data/parquet.h"

namespace slipway::training {
namespace {

constexpr size_t kPieceBytes = 64 << 10;
// Of a folder: so many, or four of each class, and no more than these.
constexpr size_t kFewPictures = 64;
constexpr size_t kMostPictures = 1024;
// Of an archive: what a file takes beside its bytes, and what these are rounded up to in a tar one.
constexpr size_t kArchiveBlock = 512;

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

absl::StatusOr<const registry::v1::File*> Sample::Find(const std::string& path) const {
  for (const registry::v1::File& file : dataset_.files()) {
    if (file.path() == path) return &file;
  }
  return absl::NotFoundError(fmt::format("{} has no file \"{}\"", dataset_.name(), path));
}

absl::StatusOr<const Sample::Beginning*> Sample::Read(const std::string& path) {
  if (const auto read = beginnings_.find(path); read != beginnings_.end()) return &read->second;
  ASSIGN_OR_RETURN(const registry::v1::File* const file, Find(path));
  ASSIGN_OR_RETURN(const std::string stored, read_(*file, 0, kReadBytes));
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
  taken_[path] = local;
  scales_[path] = scale;
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

absl::Status Sample::TakeParquet(const std::string& path, const std::string& field) {
  ASSIGN_OR_RETURN(const registry::v1::File* const file, Find(path));
  const auto beginning = trainer::ReadParquetBeginning(
      path, file->size_bytes(), kKeptBytes,
      [&](int64_t offset, int64_t bytes) { return read_(*file, offset, bytes); });
  if (absl::IsInvalidArgument(beginning.status())) {
    return InvalidField(field, std::string(beginning.status().message()));
  }
  RETURN_IF_ERROR(beginning.status());
  const auto rows = static_cast<double>(std::max<int64_t>(1, beginning->rows));
  return Keep(path, beginning->content, static_cast<double>(beginning->all_rows) / rows);
}

// Pictures from all over the folder, several of each class where they are that many.
absl::Status Sample::TakePictures(const v1::DataSpec& data, const std::string& folder,
                                  const std::string& field) {
  std::vector<const registry::v1::File*> pictures;
  for (const registry::v1::File& file : dataset_.files()) {
    if (!file.path().starts_with(folder + "/")) continue;
    const auto name =
        trainer::ClassOfPicture(std::string_view(file.path()).substr(folder.size() + 1));
    if (!name.has_value()) continue;
    picture_classes_.emplace(*name);
    pictures.push_back(&file);
  }
  if (pictures.empty()) {
    ASSIGN_OR_RETURN(const Beginning* beginning, Read(folder));
    if (beginning->share == 1) return Keep(folder, beginning->content, 1);
    if (data.labels().empty()) {
      return InvalidField("spec.data.labels",
                          fmt::format("is required for a plan: {} is larger than {} MiB, and its "
                                      "beginning may lack classes",
                                      folder, kReadBytes >> 20));
    }
    return TakeArchive(folder, field);
  }
  std::sort(pictures.begin(), pictures.end(),
            [](const auto* a, const auto* b) { return a->path() < b->path(); });
  const size_t wanted = std::min(
      {pictures.size(), kMostPictures, std::max(kFewPictures, 4 * picture_classes_.size())});
  size_t taken = 0;
  for (int64_t bytes = 0; taken < wanted && bytes < kKeptBytes; ++taken) {
    const registry::v1::File& file = *pictures[taken * pictures.size() / wanted];
    ASSIGN_OR_RETURN(const std::string content, read_(file, 0, file.size_bytes()));
    RETURN_IF_ERROR(Keep(file.path(), content, 1));
    bytes += std::ssize(content);
  }
  scales_[folder] = static_cast<double>(pictures.size()) / static_cast<double>(taken);
  return absl::OkStatus();
}

// The files at the beginning of an archive.
absl::Status Sample::TakeArchive(const std::string& path, const std::string& field) {
  ASSIGN_OR_RETURN(const Beginning* beginning, Read(path));
  const std::string local = fmt::format("{}/archive-{}", folder_, taken_.size());
  RETURN_IF_ERROR(WriteFileAtomically(local, beginning->content));
  size_t used = 0;
  auto archive = trainer::ArchiveReader::Open(local, path);
  while (archive.ok()) {
    const auto file = archive->Next();
    if (!file.ok() || !file->has_value()) break;
    RETURN_IF_ERROR(Keep(fmt::format("{}/{}", path, (*file)->path), (*file)->bytes, 1));
    used +=
        kArchiveBlock + ((*file)->bytes.size() + kArchiveBlock - 1) / kArchiveBlock * kArchiveBlock;
  }
  if (used == 0) {
    return InvalidField(field, fmt::format("{} has no whole file in its first {} bytes", path,
                                           beginning->content.size()));
  }
  const double share = static_cast<double>(used) / static_cast<double>(beginning->content.size());
  scales_[path] = 1 / (beginning->share * std::min(1.0, share));
  return absl::OkStatus();
}

absl::Status Sample::TakeWhole(const std::string& path, const std::string& field) {
  ASSIGN_OR_RETURN(const Beginning* beginning, Read(path));
  if (beginning->share == 1) return Keep(path, beginning->content, 1);
  return InvalidField(field, fmt::format("{} is too large to be planned with: of larger files than "
                                         "{} MiB text is not",
                                         path, kReadBytes >> 20));
}

absl::Status Sample::Take(const v1::DataSpec& data, const v1::Part& part,
                          const std::string& field) {
  const std::string& format = data.format();
  const std::string inputs_field = field + ".inputs";
  if (format == "idx") return TakeArrays(part, field);
  if (format == "csv" || format == "jsonl") return TakeTable(format, part.inputs(), inputs_field);
  if (format == "parquet") return TakeParquet(part.inputs(), inputs_field);
  if (format == "images") return TakePictures(data, part.inputs(), inputs_field);
  return TakeWhole(part.inputs(), inputs_field);
}

absl::StatusOr<std::string> Sample::LocalPath(const std::string& path) const {
  const auto taken = taken_.find(path);
  if (taken != taken_.end()) return taken->second;
  return absl::InvalidArgumentError(fmt::format("{} was not sampled", path));
}

std::vector<std::string> Sample::files() const {
  std::vector<std::string> files;
  for (const auto& [path, local] : taken_) files.push_back(path);
  return files;
}

double Sample::scale(const v1::Part& part) const {
  const auto scale = scales_.find(part.inputs());
  return scale == scales_.end() ? 1 : scale->second;
}

}  // namespace slipway::training
