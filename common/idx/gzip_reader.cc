#include "common/idx/gzip_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fmt/format.h"

namespace slipway {
namespace {

constexpr unsigned kBufferBytes = 1 << 17;
constexpr uint64_t kLargestRatio = 1032;
constexpr size_t kPiece = size_t{1} << 30;  // gzread takes an int

}  // namespace

GzipReader::GzipReader(std::string name, gzFile_s* file, uint64_t largest_content)
    : name_(std::move(name)), file_(file), largest_content_(largest_content) {}

void GzipReader::Close::operator()(gzFile_s* file) const { ::gzclose(file); }

absl::StatusOr<GzipReader> GzipReader::Open(const std::string& path, std::string_view name) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FromErrno(errno, "cannot open", name);
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    return absl::InvalidArgumentError(fmt::format("{} is no regular file", name));
  }
  gzFile file = ::gzdopen(fd, "rb");
  if (file == nullptr) {
    ::close(fd);
    return absl::ResourceExhaustedError(fmt::format("no memory to read {}", name));
  }
  ::gzbuffer(file, kBufferBytes);
  const auto size = static_cast<uint64_t>(info.st_size);
  // gzdirect() looks at the first bytes: true for a file that is not compressed.
  const uint64_t largest = ::gzdirect(file) != 0 ? size : size * kLargestRatio;
  return GzipReader(std::string(name), file, largest);
}

absl::StatusOr<size_t> GzipReader::Read(char* out, size_t size) {
  size_t filled = 0;
  while (filled < size) {
    const int got =
        ::gzread(file_.get(), out + filled, static_cast<unsigned>(std::min(size - filled, kPiece)));
    int code = Z_OK;
    const char* const text = ::gzerror(file_.get(), &code);
    if (code == Z_BUF_ERROR) {
      return absl::InvalidArgumentError(fmt::format("{} is cut short within its gzip form", name_));
    }
    if (got < 0 || (code != Z_OK && code != Z_STREAM_END)) {
      return absl::InvalidArgumentError(fmt::format("{} is damaged: {}", name_, text));
    }
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  return filled;
}

absl::Status GzipReader::ExpectEnd() {
  char more = 0;
  ASSIGN_OR_RETURN(const size_t got, Read(&more, 1));
  if (got == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("{} goes on after its content", name_));
}

absl::StatusOr<std::string> GzipReader::ReadAll(uint64_t limit_bytes) {
  std::string content;
  char piece[1 << 16];
  while (true) {
    ASSIGN_OR_RETURN(const size_t got, Read(piece, sizeof(piece)));
    if (got == 0) return content;
    if (content.size() + got > limit_bytes) return TooLarge(name_, limit_bytes);
    content.append(piece, got);
  }
}

}  // namespace slipway
