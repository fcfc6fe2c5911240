#include "common/grpc/address.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>

#include "fmt/format.h"

namespace slipway {
namespace {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

// The folder is the lock of the door: whoever may enter it may call.
absl::Status PrepareFolder(const std::string& folder) {
  if (::mkdir(folder.c_str(), 0700) == 0) return absl::OkStatus();
  if (errno != EEXIST) return FromErrno(errno, "cannot make the socket's folder", folder);
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return FromErrno(errno, "stat", folder);
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(fmt::format("{} is not a folder", folder));
  }
  if ((info.st_mode & 077) != 0 || info.st_uid != ::geteuid()) {
    return absl::FailedPreconditionError(
        fmt::format("{} must belong to this user and be closed to all others (mode 0700, not "
                    "{:04o}), since whoever may enter it may call the service",
                    folder, info.st_mode & 07777));
  }
  return absl::OkStatus();
}

// True where a process listens at `path`.
bool SomebodyListens(const std::string& path) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const int connected = ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
  const bool listens = connected == 0 || errno == EAGAIN;  // EAGAIN: its queue is full
  ::close(fd);
  return listens;
}

// What binds would take the place of whatever is at the path, a living server too.
absl::Status ClearSocket(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : FromErrno(errno, "stat", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        fmt::format("{} is in the way: it is there and is no socket", path));
  }
  if (SomebodyListens(path)) {
    return absl::AlreadyExistsError(fmt::format("another process listens on unix:{}", path));
  }
  if (::unlink(path.c_str()) != 0) return FromErrno(errno, "cannot remove the old socket", path);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Address> Address::Parse(std::string_view text) {
  constexpr std::string_view kUnix = "unix:";
  constexpr size_t kMaxPath = sizeof(sockaddr_un::sun_path) - 1;
  Address address;
  if (text.starts_with(kUnix)) {
    address.unix_path = text.substr(kUnix.size());
    if (address.unix_path.empty() || address.unix_path.back() == '/') {
      return absl::InvalidArgumentError(fmt::format("{}: names no socket", text));
    }
    if (address.unix_path.size() > kMaxPath) {
      return absl::InvalidArgumentError(
          fmt::format("{}: the path of a Unix socket has at most {} bytes, this one {}: choose a "
                      "shorter folder",
                      text, kMaxPath, address.unix_path.size()));
    }
    return address;
  }
  const size_t colon = text.rfind(':');
  const std::string_view port =
      colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (colon == 0 || port.empty() || error != std::errc() || end != port.data() + port.size() ||
      address.port < 0 || address.port > 65535) {
    return absl::InvalidArgumentError(
        fmt::format("\"{}\" is no address: must be unix:/path or host:port", text));
  }
  address.host = text.substr(0, colon);
  return address;
}

std::string Address::ToString() const {
  return is_unix() ? "unix:" + unix_path : fmt::format("{}:{}", host, port);
}

absl::Status PrepareSocket(const std::string& path) {
  RETURN_IF_ERROR(PrepareFolder(FolderOf(path)));
  return ClearSocket(path);
}

absl::Status CheckTransport(const Address& address, const TlsFiles& tls) {
  if (address.is_unix()) return absl::OkStatus();
  if (!tls.configured()) {
    return absl::InvalidArgumentError(fmt::format(
        "{}: calls over the network need mutual TLS; set tls.certificate_file, tls.key_file and "
        "tls.ca_file",
        address.ToString()));
  }
  return tls.Check();
}

}  // namespace slipway
