#ifndef SLIPWAY_COMMON_GRPC_ADDRESS_H_
#define SLIPWAY_COMMON_GRPC_ADDRESS_H_

#include <string>
#include <string_view>

#include "common/grpc/tls.h"
#include "common/status/status.h"

namespace slipway {

/// Where a service listens, taken apart: "unix:/path" or "host:port".
struct Address {
  std::string unix_path;  // not empty: a Unix socket, and the rest is empty
  std::string host;
  int port = 0;

  /// Errors: kInvalidArgument, also for a path over 107 bytes, which no socket address can hold.
  static absl::StatusOr<Address> Parse(std::string_view text);

  bool is_unix() const { return !unix_path.empty(); }
  std::string ToString() const;
};

/// Makes the place for a Unix socket: its folder, with mode 0700 where it is absent, without the
/// socket of a process that is dead. Errors: kFailedPrecondition (other users may enter the folder,
/// or something else is at the path), kAlreadyExists (a process listens there).
absl::Status PrepareSocket(const std::string& path);

/// OK where calls to or on `address` are kept from others: by the socket's folder, or by TLS.
absl::Status CheckTransport(const Address& address, const TlsFiles& tls);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_GRPC_ADDRESS_H_
