#include "services/cli/up/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "common/files/files.h"
#include "fmt/format.h"

namespace slipway::cli {
namespace {

namespace fs = std::filesystem;

// What this program writes. Raised when the layout of the directory changes.
constexpr int kVersion = 1;

// sockaddr_un.sun_path less its end, and the longest name that a service gives a socket.
constexpr size_t kSocketPathLimit = 107;
constexpr std::string_view kLongestSocket = "/worker-default-9999-admin.sock";

absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!error) fs::permissions(path, fs::perms::owner_all, error);
  if (error) return FromErrno(error.value(), "could not make", path);
  return absl::OkStatus();
}

int64_t ReadNumber(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return 0;
  int64_t number = 0;
  std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

}  // namespace

std::string DataDirectory::DefaultPath() {
  if (const char* home = std::getenv("XDG_DATA_HOME"); home != nullptr && *home != '\0') {
    return std::string(home) + "/slipway";
  }
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "" : home) + "/.local/share/slipway";
}

DataDirectory::DataDirectory(std::string path)
    : path_(fs::absolute(path.empty() ? DefaultPath() : std::move(path)).lexically_normal()) {
  if (path_.size() > 1 && path_.back() == '/') path_.pop_back();
}

DataDirectory::~DataDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

std::string DataDirectory::Folder(std::string_view name) const {
  return fmt::format("{}/{}", path_, name);
}

std::string DataDirectory::Socket(std::string_view name) const {
  return fmt::format("unix:{}/{}.sock", run_folder_, name);
}

int64_t DataDirectory::Holder() const {
  const std::string path = Folder("lock");
  const int lock = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return 0;
  const bool held = ::flock(lock, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(lock);
  return held ? ReadNumber(path) : 0;
}

absl::Status DataDirectory::Lock() {
  const std::string path = Folder("lock");
  lock_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) return FromErrno(errno, "could not open", path);
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        fmt::format("{0} is in use by process {1}: `slipway down --data-dir {0}` stops it, another "
                    "--data-dir runs a second platform",
                    path_, ReadNumber(path)));
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(lock_, 0) != 0 ||
      ::pwrite(lock_, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return FromErrno(errno, "could not write", path);
  }
  return absl::OkStatus();
}

absl::Status DataDirectory::CheckVersion() const {
  const std::string path = Folder("VERSION");
  if (!fs::exists(path)) {
    return WriteFileAtomically(path, fmt::format("{}\n", kVersion), 0600);
  }
  const int64_t found = ReadNumber(path);
  if (found == kVersion) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "{} says version {}, and this program knows version {}: use the Slipway that wrote it, or "
      "another --data-dir",
      path, found, kVersion));
}

absl::Status DataDirectory::Open() {
  RETURN_IF_ERROR(MakeFolder(path_));
  RETURN_IF_ERROR(Lock());
  RETURN_IF_ERROR(CheckVersion());
  for (const char* folder :
       {"gateway", "registry", "training", "controller", "worker", "logs", "trust", "run"}) {
    RETURN_IF_ERROR(MakeFolder(Folder(folder)));
  }
  return absl::OkStatus();
}

absl::Status DataDirectory::MakeRunFolder() {
  const std::string record = Folder("run-dir");
  RemoveRunFolder();
  run_folder_ = Folder("run");
  if (run_folder_.size() + kLongestSocket.size() <= kSocketPathLimit) {
    return MakeFolder(run_folder_);
  }
  std::string pattern = (fs::temp_directory_path() / "slipway-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) return FromErrno(errno, "could not make", pattern);
  run_folder_ = pattern;
  return WriteFileAtomically(record, run_folder_ + "\n", 0600);
}

void DataDirectory::RemoveRunFolder() {
  std::error_code ignored;
  const std::string record = Folder("run-dir");
  if (absl::StatusOr<std::string> outside = ReadFile(record); outside.ok()) {
    while (!outside->empty() && outside->back() == '\n') outside->pop_back();
    fs::remove_all(*outside, ignored);
    fs::remove(record, ignored);
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(Folder("run"), ignored)) {
    fs::remove_all(entry.path(), ignored);
  }
}

}  // namespace slipway::cli
