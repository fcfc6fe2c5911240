#include "common/grpc/tls.h"

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace slipway {

absl::Status TlsFiles::Check() const {
  if (!configured()) return absl::OkStatus();
  const std::pair<const char*, const std::string*> files[] = {
      {"tls.certificate_file", &certificate_file},
      {"tls.key_file", &key_file},
      {"tls.ca_file", &ca_file}};
  for (const auto& [name, path] : files) {
    if (path->empty()) return InvalidField(name, "is missing: all three files or none");
    if (::access(path->c_str(), R_OK) != 0) {
      return InvalidField(name, std::string(FromErrno(errno, "cannot read", *path).message()));
    }
  }
  return absl::OkStatus();
}

}  // namespace slipway
