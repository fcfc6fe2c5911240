#ifndef SLIPWAY_COMMON_HTTP_IO_TLS_H_
#define SLIPWAY_COMMON_HTTP_IO_TLS_H_

#include <memory>
#include <string>

#include "common/http/io/ssl.h"
#include "common/status/status.h"

namespace slipway::http {

/// The server's certificate with its key: TLS 1.2 and later, HTTP/2 and HTTP/1.1 by ALPN. The
/// files are read again when they have changed; connections keep what they began with. One thread
/// at a time.
class Tls {
 public:
  /// PEM files. Where `client_ca_file` is not empty, clients must show a certificate that one of
  /// its authorities vouches for. kInvalidArgument, kNotFound and the like, each naming the file.
  static absl::StatusOr<std::unique_ptr<Tls>> Load(std::string certificate_file,
                                                   std::string key_file,
                                                   std::string client_ca_file);
  ~Tls();

  /// The server's side of a new connection on a non-blocking socket, which stays the caller's.
  SslPtr NewConnection(int descriptor);

  /// Reads the files again if they are not those that were read last: false when they are. What
  /// cannot be used leaves the certificate before in its place, and is told once.
  absl::StatusOr<bool> Refresh();

 private:
  Tls(std::string certificate_file, std::string key_file, std::string client_ca_file);
  absl::Status Read();

  const std::string certificate_file_;
  const std::string key_file_;
  const std::string client_ca_file_;  // may be empty
  FileVersion certificate_version_;
  FileVersion key_version_;
  FileVersion client_ca_version_;
  SslContextPtr context_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_IO_TLS_H_
