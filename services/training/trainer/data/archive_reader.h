#ifndef SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_ARCHIVE_READER_H_
#define SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_ARCHIVE_READER_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "common/status/status.h"

struct archive;

namespace slipway::trainer {

/// The files of a tar (packed by gzip or not) or zip archive, one after another. Its messages begin
/// with `name`, what a person calls the archive. A value that moves; one thread.
class ArchiveReader {
 public:
  struct File {
    std::string path;  // within the archive
    std::string bytes;
  };

  /// Errors: kInvalidArgument (it is no such archive), what the system says.
  static absl::StatusOr<ArchiveReader> Open(const std::string& path, std::string_view name);

  /// The next regular file; absent at the end. Errors: kInvalidArgument (damaged, cut short, a file
  /// of more than 256 MiB, one that is encrypted).
  absl::StatusOr<std::optional<File>> Next();

 private:
  struct Close {
    void operator()(archive* opened) const;
  };
  ArchiveReader(std::unique_ptr<archive, Close> opened, std::string_view name)
      : archive_(std::move(opened)), name_(name) {}
  absl::Status Refuse() const;

  std::unique_ptr<archive, Close> archive_;
  std::string name_;
};

}  // namespace slipway::trainer

#endif  // SLIPWAY_SERVICES_TRAINING_TRAINER_DATA_ARCHIVE_READER_H_
