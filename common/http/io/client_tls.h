#ifndef SLIPWAY_COMMON_HTTP_IO_CLIENT_TLS_H_
#define SLIPWAY_COMMON_HTTP_IO_CLIENT_TLS_H_

#include <memory>
#include <string>

#include "common/http/io/ssl.h"
#include "common/status/status.h"

namespace slipway::http {

/// The client's side of mutual TLS: TLS 1.2 and later, HTTP/2 by ALPN. The files are read again
/// when they have changed. One thread at a time.
class ClientTls {
 public:
  struct Files {
    std::string certificate;  ///< of this client, PEM, with its chain
    std::string key;
    std::string authorities;  ///< that vouch for servers
  };

  /// Errors: kInvalidArgument, naming the file.
  static absl::StatusOr<std::unique_ptr<ClientTls>> Load(Files files);

  /// A new connection on a non-blocking socket, which stays the caller's. The handshake fails
  /// unless the server's certificate names `host` (a name or an address).
  SslPtr NewConnection(int descriptor, const std::string& host);

  /// Reads the files again if they are not those that were read last. What cannot be used leaves
  /// what was read before in its place, and is told once.
  absl::Status Refresh();

 private:
  explicit ClientTls(Files files) : files_(std::move(files)) {}
  absl::Status Read();

  const Files files_;
  FileVersion versions_[3];
  SslContextPtr context_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_IO_CLIENT_TLS_H_
