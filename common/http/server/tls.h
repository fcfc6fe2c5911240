#ifndef SLIPWAY_COMMON_HTTP_SERVER_TLS_H_
#define SLIPWAY_COMMON_HTTP_SERVER_TLS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "common/status/status.h"

// OpenSSL's, so that its headers stay in tls.cc and transport.cc.
struct ssl_st;
struct ssl_ctx_st;

namespace slipway::http {

struct FreeSsl {
  void operator()(ssl_st* ssl) const;
  void operator()(ssl_ctx_st* context) const;
};
using SslPtr = std::unique_ptr<ssl_st, FreeSsl>;

/// The server's certificate with its key: TLS 1.2 and later, HTTP/2 and HTTP/1.1 by ALPN. Both
/// files are read again when they have changed; connections keep what they began with. One thread
/// at a time.
class Tls {
 public:
  /// PEM files. kInvalidArgument, kNotFound and the like, each naming the file.
  static absl::StatusOr<std::unique_ptr<Tls>> Load(std::string certificate_file,
                                                   std::string key_file);
  ~Tls();

  /// The server's side of a new connection on a non-blocking socket, which stays the caller's.
  SslPtr NewConnection(int descriptor);

  /// Reads the files again if they are not those that were read last: false when they are. What
  /// cannot be used leaves the certificate before in its place, and is told once.
  absl::StatusOr<bool> Refresh();

 private:
  // What tells one version of a file from the next.
  struct Version {
    uint64_t device = 0, inode = 0, size = 0;
    int64_t changed_ns = 0;
    bool operator==(const Version& other) const = default;
  };

  Tls(std::string certificate_file, std::string key_file);
  static Version VersionOf(const std::string& file);
  absl::Status Read();

  const std::string certificate_file_;
  const std::string key_file_;
  Version certificate_version_;
  Version key_version_;
  std::unique_ptr<ssl_ctx_st, FreeSsl> context_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_TLS_H_
