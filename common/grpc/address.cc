#include "common/grpc/address.h"

#include <sys/un.h>

#include <charconv>

#include "fmt/format.h"

namespace slipway {

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
