#include "services/training/trainer/data/record_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/text/utf8.h"
#include "fmt/format.h"

namespace slipway::trainer {
namespace {

constexpr size_t kPiece = size_t{1} << 18;
constexpr size_t kMaxRecordBytes = size_t{64} << 20;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

absl::StatusOr<RecordReader> RecordReader::Open(const std::string& path, std::string_view name,
                                                Quotes quotes) {
  ASSIGN_OR_RETURN(GzipReader file, GzipReader::Open(path, name));
  RecordReader reader(std::move(file), name, quotes);
  RETURN_IF_ERROR(reader.Fill());
  const std::string_view start(reader.buffer_.data(), reader.filled_);
  if (start.starts_with(kByteOrderMark)) reader.begin_ = kByteOrderMark.size();
  return reader;
}

absl::Status RecordReader::Refuse(int64_t line, std::string_view problem) const {
  return absl::InvalidArgumentError(fmt::format("{}, line {}: {}", name_, line, problem));
}

// Reads on; what was handed out makes way.
absl::Status RecordReader::Fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, filled_ - begin_);
  filled_ -= begin_;
  begin_ = 0;
  if (2 * filled_ >= buffer_.size()) buffer_.resize(std::max(kPiece, 2 * buffer_.size()));
  ASSIGN_OR_RETURN(const size_t got,
                   file_.Read(buffer_.data() + filled_, buffer_.size() - filled_));
  done_ = got < buffer_.size() - filled_;
  filled_ += got;
  return absl::OkStatus();
}

// How long the record at begin_ is, with its line end.
absl::StatusOr<size_t> RecordReader::FindEnd() {
  size_t seen = 0;  // of the record
  bool quoted = false;
  while (true) {
    const char* const from = buffer_.data() + begin_ + seen;
    const size_t left = filled_ - begin_ - seen;
    const void* const end = left == 0 ? nullptr : std::memchr(from, '\n', left);
    if (end == nullptr) {
      if (done_) return filled_ - begin_;
      if (filled_ - begin_ >= kMaxRecordBytes) {
        return Refuse(next_line_,
                      fmt::format("begins a row of more than {} MiB{}", kMaxRecordBytes >> 20,
                                  quoted ? ": is a quote never closed?" : ""));
      }
      RETURN_IF_ERROR(Fill());
      continue;
    }
    const size_t length = static_cast<size_t>(static_cast<const char*>(end) - from) + 1;
    seen += length;
    if (quotes_ == Quotes::kKeepLinesTogether) {
      quoted ^= std::count(from, from + length, '"') % 2 == 1;
    }
    if (!quoted) return seen;
  }
}

absl::StatusOr<bool> RecordReader::AtEnd() {
  if (begin_ == filled_ && !done_) RETURN_IF_ERROR(Fill());
  return begin_ == filled_;
}

absl::StatusOr<std::optional<std::span<char>>> RecordReader::Next() {
  ASSIGN_OR_RETURN(const size_t length, FindEnd());
  if (length == 0) return std::nullopt;
  std::span<char> record(buffer_.data() + begin_, length);
  begin_ += length;
  line_ = next_line_;
  next_line_ += std::count(record.begin(), record.end(), '\n');
  const std::string_view text(record.data(), record.size());
  if (const size_t broken = FindBrokenUtf8(text); broken < text.size()) {
    const auto before = std::count(record.begin(), record.begin() + std::ptrdiff_t(broken), '\n');
    return Refuse(line_ + before, "is not UTF-8");
  }
  if (record.back() == '\n') {
    record = record.first(record.size() - 1);
    if (!record.empty() && record.back() == '\r') record = record.first(record.size() - 1);
  }
  return record;
}

}  // namespace slipway::trainer
