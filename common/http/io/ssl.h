#ifndef SLIPWAY_COMMON_HTTP_IO_SSL_H_
#define SLIPWAY_COMMON_HTTP_IO_SSL_H_

#include <cstdint>
#include <memory>
#include <string>

// OpenSSL's, so that its headers stay in this room's sources.
struct ssl_st;
struct ssl_ctx_st;

// What both sides of TLS are made of.
namespace slipway::http {

struct FreeSsl {
  void operator()(ssl_st* ssl) const;
  void operator()(ssl_ctx_st* context) const;
};
using SslPtr = std::unique_ptr<ssl_st, FreeSsl>;
using SslContextPtr = std::unique_ptr<ssl_ctx_st, FreeSsl>;

/// A connection on a non-blocking socket, which stays the caller's, without a side yet.
SslPtr NewSsl(ssl_ctx_st& context, int descriptor);

/// A context for TLS 1.2 and later, as HTTP/2 has it (RFC 9113, 9.2).
SslContextPtr NewServerContext();
SslContextPtr NewClientContext();

/// What the thread's last call of OpenSSL's has to say.
std::string LastSslError();

/// What tells one version of a file from the next.
struct FileVersion {
  uint64_t device = 0, inode = 0, size = 0;
  int64_t changed_ns = 0;

  static FileVersion Of(const std::string& file);
  bool operator==(const FileVersion& other) const = default;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_IO_SSL_H_
