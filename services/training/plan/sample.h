#ifndef SLIPWAY_SERVICES_TRAINING_PLAN_SAMPLE_H_
#define SLIPWAY_SERVICES_TRAINING_PLAN_SAMPLE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/status/status.h"
#include "slipway/registry/v1/registry.pb.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::training {

/// Parts of a dataset's files as files of their own, which the trainer's readers take: a table that
/// ends after a whole row, an array whose header says how much of it is there, some of the pictures
/// of a folder. One thread.
class Sample {
 public:
  /// The bytes of a file from `offset` on, at most that many.
  using ReadPart = std::function<absl::StatusOr<std::string>(const registry::v1::File& file,
                                                             int64_t offset, int64_t bytes)>;

  /// Of a larger file so much is read, as it is stored, and so much kept once it is unpacked.
  static constexpr int64_t kReadBytes = 4 << 20;
  static constexpr int64_t kKeptBytes = 64 << 20;

  /// `dataset` outlives the sample, which makes files in `folder`, an empty one.
  Sample(const registry::v1::Dataset& dataset, std::string folder, ReadPart read)
      : dataset_(dataset), folder_(std::move(folder)), read_(std::move(read)) {}

  /// The beginning of a file, unpacked; of all files it is read once. Errors: kNotFound (the
  /// dataset has no such file), the reader's.
  struct Beginning {
    std::string content;
    /// How much of the file it is, from 0 to 1.
    double share = 1;
  };
  absl::StatusOr<const Beginning*> Read(const std::string& path);

  /// Makes the files of a part. Errors: InvalidField below `field`.
  absl::Status Take(const v1::DataSpec& data, const v1::Part& part, const std::string& field);

  /// Where a file of a part that was taken lies.
  absl::StatusOr<std::string> LocalPath(const std::string& path) const;

  /// All that were taken; those of an archive that is cut as if it were a folder.
  std::vector<std::string> files() const;

  /// Of the folders of pictures that were taken: all of their classes.
  const std::set<std::string>& picture_classes() const { return picture_classes_; }

  /// Rows of the whole file for each one of the sample's.
  double scale(const v1::Part& part) const;
  /// Whether all of a part's files are whole.
  bool whole(const v1::Part& part) const { return scale(part) == 1; }

 private:
  absl::StatusOr<const registry::v1::File*> Find(const std::string& path) const;
  absl::Status TakeTable(const std::string& format, const std::string& path,
                         const std::string& field);
  absl::Status TakeArrays(const v1::Part& part, const std::string& field);
  absl::Status TakeParquet(const std::string& path, const std::string& field);
  absl::Status TakePictures(const v1::DataSpec& data, const std::string& folder,
                            const std::string& field);
  absl::Status TakeArchive(const std::string& path, const std::string& field);
  absl::Status TakeWhole(const std::string& path, const std::string& field);
  absl::Status Keep(const std::string& path, const std::string& content, double scale);

  const registry::v1::Dataset& dataset_;
  const std::string folder_;
  const ReadPart read_;
  std::map<std::string, Beginning> beginnings_;
  std::map<std::string, std::string> taken_;  // where each lies
  std::map<std::string, double> scales_;      // of parts, by their inputs
  std::set<std::string> picture_classes_;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_PLAN_SAMPLE_H_
