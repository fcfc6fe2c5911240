#include "services/training/trainer/data/archive_reader.h"

#include <utility>

#include "archive.h"
#include "archive_entry.h"
#include "fmt/format.h"

namespace slipway::trainer {
namespace {

constexpr size_t kBlockBytes = size_t{1} << 16;
constexpr size_t kMaxFileBytes = size_t{256} << 20;

}  // namespace

void ArchiveReader::Close::operator()(archive* opened) const { ::archive_read_free(opened); }

absl::Status ArchiveReader::Refuse() const {
  const char* const problem = ::archive_error_string(archive_.get());
  return absl::InvalidArgumentError(fmt::format("{} is no whole tar or zip archive: {}", name_,
                                                problem == nullptr ? "unknown" : problem));
}

absl::StatusOr<ArchiveReader> ArchiveReader::Open(const std::string& path, std::string_view name) {
  ArchiveReader reader(std::unique_ptr<archive, Close>(::archive_read_new()), name);
  archive* const opened = reader.archive_.get();
  if (opened == nullptr) return absl::ResourceExhaustedError("no memory for an archive");
  ::archive_read_support_filter_gzip(opened);
  ::archive_read_support_format_tar(opened);
  ::archive_read_support_format_zip(opened);
  if (::archive_read_open_filename(opened, path.c_str(), kBlockBytes) != ARCHIVE_OK) {
    return reader.Refuse();
  }
  return reader;
}

absl::StatusOr<std::optional<ArchiveReader::File>> ArchiveReader::Next() {
  archive_entry* entry = nullptr;
  do {
    const int code = ::archive_read_next_header(archive_.get(), &entry);
    if (code == ARCHIVE_EOF) return std::nullopt;
    // A warning is of what is not read here: owners, times.
    if (code != ARCHIVE_OK && code != ARCHIVE_WARN) return Refuse();
  } while (::archive_entry_filetype(entry) != AE_IFREG);
  const char* path = ::archive_entry_pathname_utf8(entry);
  if (path == nullptr) path = ::archive_entry_pathname(entry);
  File file{.path = path == nullptr ? "" : path, .bytes = ""};
  if (file.path.starts_with("./")) file.path.erase(0, 2);
  if (file.path.empty()) {
    return absl::InvalidArgumentError(fmt::format("{} has a file without a name", name_));
  }
  while (true) {
    const size_t size = file.bytes.size();
    file.bytes.resize(size + kBlockBytes);
    const ssize_t got = ::archive_read_data(archive_.get(), file.bytes.data() + size, kBlockBytes);
    if (got < 0) return Refuse();
    file.bytes.resize(size + static_cast<size_t>(got));
    if (got == 0) return file;
    if (file.bytes.size() > kMaxFileBytes) {
      return absl::InvalidArgumentError(
          fmt::format("{}: {} has more than {} MiB", name_, file.path, kMaxFileBytes >> 20));
    }
  }
}

}  // namespace slipway::trainer
