#include "services/training/trainer/folder_attempt_host.h"

#include <filesystem>
#include <fstream>
#include <string_view>
#include <utility>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"

namespace slipway::trainer {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxFileBytes = uint64_t{64} << 30;

absl::StatusOr<std::string> ToJsonText(const google::protobuf::Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string text;
  const auto status = google::protobuf::util::MessageToJsonString(message, &text, options);
  if (!status.ok()) return absl::InternalError(status.ToString());
  return text;
}

}  // namespace

FolderAttemptHost::FolderAttemptHost(std::string data_dir, std::string base_dir,
                                     std::string output_dir)
    : data_dir_(std::move(data_dir)),
      base_dir_(std::move(base_dir)),
      output_dir_(std::move(output_dir)) {}

absl::StatusOr<FolderAttemptHost> FolderAttemptHost::Create(std::string data_dir,
                                                            std::string base_dir,
                                                            std::string output_dir) {
  std::error_code error;
  fs::create_directories(output_dir, error);
  if (error) return FromErrno(error.value(), "cannot create", output_dir);
  // Of an earlier attempt.
  for (const std::string_view verdict : {"result.json", "failure.json"}) {
    fs::remove(fmt::format("{}/{}", output_dir, verdict), error);
    if (error) return FromErrno(error.value(), "cannot clear", output_dir);
  }
  return FolderAttemptHost(std::move(data_dir), std::move(base_dir), std::move(output_dir));
}

absl::StatusOr<std::vector<std::string>> FolderAttemptHost::ListFiles() {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::recursive_directory_iterator it(data_dir_, error), end; !error && it != end;
       it.increment(error)) {
    if (it->is_regular_file()) files.push_back(fs::relative(it->path(), data_dir_).string());
  }
  if (error) return FromErrno(error.value(), "cannot list", data_dir_);
  return files;
}

absl::StatusOr<std::string> FolderAttemptHost::FetchFile(const std::string& path) {
  std::string local = fmt::format("{}/{}", data_dir_, path);
  std::error_code error;
  if (!fs::is_regular_file(local, error)) {
    return absl::InvalidArgumentError(fmt::format("the dataset has no file {}", path));
  }
  return local;
}

absl::StatusOr<std::string> FolderAttemptHost::FetchBaseFile(const std::string& path) {
  std::string local = fmt::format("{}/{}", base_dir_, path);
  std::error_code error;
  if (base_dir_.empty() || !fs::is_regular_file(local, error)) {
    return absl::InvalidArgumentError(fmt::format("the base has no file {}", path));
  }
  return local;
}

absl::StatusOr<bool> FolderAttemptHost::Report(training::v1::Event event) {
  event.set_sequence(++sequence_);
  ASSIGN_OR_RETURN(const std::string text, ToJsonText(event));
  const std::string path = fmt::format("{}/events.jsonl", output_dir_);
  std::ofstream file(path, std::ios::app);
  file << text << '\n';
  file.close();
  if (!file) return absl::InternalError(fmt::format("cannot write {}", path));
  return false;
}

absl::StatusOr<registry::v1::File> FolderAttemptHost::StoreFile(const std::string& path,
                                                                const std::string& local_path) {
  ASSIGN_OR_RETURN(const std::string bytes, ReadFile(local_path, kMaxFileBytes));
  const std::string stored = fmt::format("{}/{}", output_dir_, path);
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(stored).parent_path(), error);
  if (error) return FromErrno(error.value(), "mkdir", stored);
  RETURN_IF_ERROR(WriteFileAtomically(stored, bytes));
  registry::v1::File file;
  file.set_path(path);
  file.set_digest("sha256:" + Sha256Hex(bytes));
  file.set_size_bytes(static_cast<int64_t>(bytes.size()));
  return file;
}

absl::Status FolderAttemptHost::Complete(training::v1::CompleteAttemptRequest result) {
  ASSIGN_OR_RETURN(const std::string text, ToJsonText(result));
  return WriteFileAtomically(fmt::format("{}/result.json", output_dir_), text + "\n");
}

absl::Status FolderAttemptHost::Fail(const std::string& error, bool retryable) {
  training::v1::FailAttemptRequest failure;
  failure.set_error(error);
  failure.set_retryable(retryable);
  ASSIGN_OR_RETURN(const std::string text, ToJsonText(failure));
  return WriteFileAtomically(fmt::format("{}/failure.json", output_dir_), text + "\n");
}

}  // namespace slipway::trainer
