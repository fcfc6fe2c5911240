#include "services/training/objects/s3_object_store.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "arrow/buffer.h"
#include "arrow/filesystem/s3fs.h"
#include "arrow/io/interfaces.h"
#include "arrow/util/future.h"
#include "arrow/util/io_util.h"
#include "arrow/util/iterator.h"
#include "arrow/util/key_value_metadata.h"
#include "common/log/log.h"
#include "fmt/format.h"

namespace slipway::training {
namespace {

constexpr int64_t kPieceBytes = 8 << 20;
constexpr double kConnectSeconds = 5;
// Of one request; with pauses between that double.
constexpr int64_t kTries = 4;

// Once a process: the library cannot be started twice.
arrow::Status StartLibrary() {
  // Or it asks the network for a machine's own credentials and region.
  ::setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
  arrow::fs::S3GlobalOptions options;
  // Its log would go to standard error, in a form of its own.
  options.log_level = arrow::fs::S3LogLevel::Off;
  return arrow::fs::IsS3Initialized() ? arrow::Status::OK() : arrow::fs::InitializeS3(options);
}

// Ends the library when the process does. To be made after the first store, whose making makes
// statics that this needs.
struct LibraryEnd {
  ~LibraryEnd() { (void)arrow::fs::EnsureS3Finalized(); }
};

bool IsAbsent(const arrow::Status& status) {
  return arrow::internal::ErrnoFromStatus(status) == ENOENT;
}

// What trying again does not help with, as the library names it in its messages.
bool IsRefused(const std::string& message) {
  constexpr std::string_view kNames[] = {"ACCESS_DENIED", "INVALID_ACCESS_KEY_ID",
                                         "SIGNATURE_DOES_NOT_MATCH", "NO_SUCH_BUCKET",
                                         "INVALID_SIGNATURE"};
  return std::any_of(std::begin(kNames), std::end(kNames), [&](std::string_view name) {
    return message.find(name) != std::string::npos;
  });
}

class S3ObjectStore final : public ObjectStore {
 public:
  S3ObjectStore(std::string name, std::string bucket,
                std::shared_ptr<arrow::fs::S3FileSystem> files)
      : name_(std::move(name)), bucket_(std::move(bucket)), files_(std::move(files)) {}

  absl::StatusOr<std::vector<StoredObject>> List(const std::string& key, size_t most) override {
    std::vector<StoredObject> objects;
    const auto found = files_->GetFileInfo(PathOf(key));
    if (!found.ok()) return Refuse(found.status());
    if (found->IsFile()) return std::vector<StoredObject>{ToObject(*found)};
    if (!found->IsDirectory()) return objects;
    arrow::fs::FileSelector below;
    below.base_dir = PathOf(key);
    below.recursive = true;
    below.allow_not_found = true;
    // Page by page: there may be any number.
    const arrow::fs::FileInfoGenerator next = files_->GetFileInfoGenerator(below);
    while (true) {
      const auto page = next().result();
      if (!page.ok()) return Refuse(page.status());
      if (arrow::IsIterationEnd(*page)) break;
      for (const arrow::fs::FileInfo& info : *page) {
        if (info.IsFile()) objects.push_back(ToObject(info));
      }
      if (objects.size() > most) {
        return absl::ResourceExhaustedError(fmt::format("more than {} objects", most));
      }
    }
    std::sort(objects.begin(), objects.end(),
              [](const StoredObject& a, const StoredObject& b) { return a.key < b.key; });
    return objects;
  }

  absl::Status Read(const std::string& key, int64_t offset, Sink sink) override {
    ASSIGN_OR_RETURN(const Opened opened, Open(key));
    for (int64_t at = offset; at < opened.size;) {
      const auto piece = opened.file->ReadAt(at, std::min(kPieceBytes, opened.size - at));
      if (!piece.ok()) return IsAbsent(piece.status()) ? Changed(key) : Refuse(piece.status());
      if ((*piece)->size() == 0) return Changed(key);
      RETURN_IF_ERROR(sink({reinterpret_cast<const char*>((*piece)->data()),
                            static_cast<size_t>((*piece)->size())}));
      at += (*piece)->size();
    }
    // Each piece was a request of its own: were they all answered with the same object?
    const auto again = Open(key);
    if (absl::IsNotFound(again.status())) return Changed(key);
    RETURN_IF_ERROR(again.status());
    return again->identity == opened.identity ? absl::OkStatus() : Changed(key);
  }

 private:
  struct Opened {
    std::shared_ptr<arrow::io::RandomAccessFile> file;
    int64_t size = 0;
    // Its entity tag and version: other bytes have others.
    std::string identity;
  };

  std::string PathOf(const std::string& key) const { return fmt::format("{}/{}", bucket_, key); }

  StoredObject ToObject(const arrow::fs::FileInfo& info) const {
    return {info.path().substr(bucket_.size() + 1), info.size()};
  }

  absl::StatusOr<Opened> Open(const std::string& key) {
    Opened opened;
    auto file = files_->OpenInputFile(PathOf(key));
    if (!file.ok() && IsAbsent(file.status())) {
      return absl::NotFoundError(fmt::format("{} has no object \"{}\"", name_, key));
    }
    if (!file.ok()) return Refuse(file.status());
    opened.file = *std::move(file);
    const auto size = opened.file->GetSize();
    if (!size.ok()) return Refuse(size.status());
    opened.size = *size;
    const auto metadata = opened.file->ReadMetadata();
    if (!metadata.ok()) return Refuse(metadata.status());
    for (const char* field : {"ETag", "VersionId"}) {
      opened.identity += (*metadata)->Get(field).ValueOr("") + "\n";
    }
    return opened;
  }

  absl::Status Changed(const std::string& key) const {
    return absl::AbortedError(
        fmt::format("{}: the object \"{}\" was changed while it was read", name_, key));
  }

  absl::Status Refuse(const arrow::Status& status) const {
    const std::string message = status.message();
    Log(Severity::kWarning, "object_store_failed", {{"store", name_}, {"error", message}});
    if (IsRefused(message)) {
      return absl::FailedPreconditionError(fmt::format(
          "the object store {} refuses what the operator has configured for it", name_));
    }
    return absl::UnavailableError(fmt::format("the object store {} does not answer", name_));
  }

  const std::string name_;
  const std::string bucket_;
  const std::shared_ptr<arrow::fs::S3FileSystem> files_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenS3Store(const S3StoreOptions& options) {
  static const arrow::Status started = StartLibrary();
  if (!started.ok()) return absl::InternalError(started.message());
  arrow::fs::S3Options s3 = arrow::fs::S3Options::FromAccessKey(
      std::string(options.access_key.Reveal()), std::string(options.secret_key.Reveal()));
  s3.region = options.region;
  const size_t host = options.endpoint.find("://");
  if (host != std::string::npos) {
    s3.scheme = options.endpoint.substr(0, host);
    s3.endpoint_override = options.endpoint.substr(host + 3);
  }
  s3.connect_timeout = kConnectSeconds;
  s3.retry_strategy = arrow::fs::S3RetryStrategy::GetAwsStandardRetryStrategy(kTries);
  s3.tls_ca_file_path = options.ca_file;
  auto files = arrow::fs::S3FileSystem::Make(s3);
  static const LibraryEnd end;
  // What it says may hold the options.
  if (!files.ok()) return absl::InternalError(fmt::format("cannot open {}", options.name));
  return std::make_unique<S3ObjectStore>(options.name, options.bucket, *std::move(files));
}

}  // namespace slipway::training
