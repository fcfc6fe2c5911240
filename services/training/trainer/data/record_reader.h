#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RECORD_READER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RECORD_READER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/idx/gzip_reader.h"
#include "common/status/status.h"

namespace slipway::trainer {

/// Hands out a text, packed by gzip or not, record by record. A record is a line, or, where quotes
/// count, as many lines as its double quotes keep together. Checks that it is UTF-8 (RFC 3629). One
/// thread.
class RecordReader {
 public:
  enum class Quotes { kKeepLinesTogether, kAreNothing };

  /// `name` is what a person calls the file. Errors: as GzipReader.
  static absl::StatusOr<RecordReader> Open(const std::string& path, std::string_view name,
                                           Quotes quotes);

  /// The next record without its line end, to be changed as one likes until the next call; absent
  /// at the end. Errors: kInvalidArgument, what the system says.
  absl::StatusOr<std::optional<std::span<char>>> Next();

  /// Whether no record is left. What was handed out last is gone.
  absl::StatusOr<bool> AtEnd();

  /// In which line the record begins that was handed out last, from 1.
  int64_t line() const { return line_; }
  absl::Status Refuse(int64_t line, std::string_view problem) const;

 private:
  RecordReader(GzipReader file, std::string_view name, Quotes quotes)
      : file_(std::move(file)), name_(name), quotes_(quotes) {}
  absl::Status Fill();
  absl::StatusOr<size_t> FindEnd();

  GzipReader file_;
  std::string name_;
  Quotes quotes_;
  std::string buffer_;  // holds what was read and not handed out in [begin_, filled_)
  size_t begin_ = 0;
  size_t filled_ = 0;
  bool done_ = false;  // nothing is left to read
  int64_t line_ = 0;
  int64_t next_line_ = 1;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_RECORD_READER_H_
