#include "services/cli/upload.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <ostream>

#include "common/crypto/hash.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/cli/output.h"

namespace slipway::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

absl::Status AddFolder(const fs::path& folder, std::vector<LocalFile>& files) {
  std::error_code error;
  fs::recursive_directory_iterator entries(folder, error);
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    if (!entries->is_regular_file(error)) continue;
    files.push_back({entries->path().lexically_relative(folder), entries->path()});
  }
  if (error) {
    return InvalidField("file",
                        fmt::format("{} cannot be read: {}", folder.string(), error.message()));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> DigestOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  Sha256 hash;
  std::vector<char> buffer(1 << 20);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    hash.Update({buffer.data(), static_cast<size_t>(in.gcount())});
  }
  if (!in.eof()) return absl::InternalError(fmt::format("could not read {}", path));
  return "sha256:" + hash.FinishHex();
}

// Uploads one file, unless the tenant has its bytes already.
absl::StatusOr<json> UploadFile(const Session& session, const Api& api, const LocalFile& file) {
  ASSIGN_OR_RETURN(const std::string digest, DigestOf(file.source));
  absl::StatusOr<json> blob = api.Get(session.Path("blobs/" + digest));
  if (absl::IsNotFound(blob.status())) {
    std::ifstream in(file.source, std::ios::binary);
    const uint64_t size = std::filesystem::file_size(file.source);
    const bool show = IsTerminal(STDERR_FILENO) && session.format() == Format::kText;
    blob = api.Upload(session.Path("blobs"), {{"digest", digest}}, in, size, [&](uint64_t sent) {
      if (show) {
        session.err() << fmt::format("\r{}  {} of {}", file.path, Bytes(static_cast<double>(sent)),
                                     Bytes(static_cast<double>(size)))
                      << std::flush;
      }
    });
    if (show) session.err() << "\r\033[K";
  }
  if (!blob.ok()) return Annotate(blob.status(), file.path);
  return json{{"path", file.path}, {"digest", digest}};
}

}  // namespace

absl::StatusOr<std::vector<LocalFile>> ParseFiles(const std::vector<std::string>& arguments) {
  std::vector<LocalFile> files;
  for (const std::string& argument : arguments) {
    std::error_code error;
    if (fs::is_directory(argument, error)) {
      RETURN_IF_ERROR(AddFolder(argument, files));
      continue;
    }
    const size_t equals = argument.find('=');
    LocalFile file;
    file.source = equals == std::string::npos ? argument : argument.substr(equals + 1);
    file.path = equals == std::string::npos ? fs::path(argument).filename().string()
                                            : argument.substr(0, equals);
    if (!fs::is_regular_file(file.source, error)) {
      return InvalidField("file", fmt::format("{} is not a file", file.source));
    }
    files.push_back(std::move(file));
  }
  // A folder is read in no order.
  std::sort(files.begin(), files.end(),
            [](const LocalFile& a, const LocalFile& b) { return a.path < b.path; });
  return files;
}

absl::StatusOr<json> UploadFiles(const Session& session, const Api& api,
                                 const std::vector<LocalFile>& files) {
  json uploaded = json::array();
  for (const LocalFile& file : files) {
    ASSIGN_OR_RETURN(json each, UploadFile(session, api, file));
    uploaded.push_back(std::move(each));
  }
  return uploaded;
}

}  // namespace slipway::cli
