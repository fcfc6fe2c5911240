#include "common/http/io/client_tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace slipway::http {
namespace {

constexpr unsigned char kProtocols[] = "\x02h2";

absl::Status Unusable(const std::string& file) {
  return absl::InvalidArgumentError(fmt::format("{} cannot be used: {}", file, LastSslError()));
}

bool IsAddress(const std::string& host) {
  unsigned char bytes[sizeof(in6_addr)];
  return ::inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         ::inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ClientTls>> ClientTls::Load(Files files) {
  std::unique_ptr<ClientTls> tls(new ClientTls(std::move(files)));
  RETURN_IF_ERROR(tls->Refresh());
  return tls;
}

absl::Status ClientTls::Refresh() {
  // Before they are read: a change in between is seen next time.
  const FileVersion versions[] = {FileVersion::Of(files_.certificate), FileVersion::Of(files_.key),
                                  FileVersion::Of(files_.authorities)};
  if (context_ != nullptr && std::equal(std::begin(versions), std::end(versions), versions_)) {
    return absl::OkStatus();
  }
  std::copy(std::begin(versions), std::end(versions), versions_);
  return Read();
}

absl::Status ClientTls::Read() {
  SslContextPtr context = NewClientContext();
  SSL_CTX* const made = context.get();
  SSL_CTX_set_verify(made, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_alpn_protos(made, kProtocols, sizeof(kProtocols) - 1);
  ERR_clear_error();
  if (SSL_CTX_load_verify_locations(made, files_.authorities.c_str(), nullptr) != 1) {
    return Unusable(files_.authorities);
  }
  if (SSL_CTX_use_certificate_chain_file(made, files_.certificate.c_str()) != 1) {
    return Unusable(files_.certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(made, files_.key.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(made) != 1) {
    return Unusable(files_.key);
  }
  context_ = std::move(context);
  return absl::OkStatus();
}

SslPtr ClientTls::NewConnection(int descriptor, const std::string& host) {
  SslPtr ssl = NewSsl(*context_, descriptor);
  if (IsAddress(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl.get()), host.c_str());
  } else {
    SSL_set_hostflags(ssl.get(), X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set1_host(ssl.get(), host.c_str());
    SSL_set_tlsext_host_name(ssl.get(), host.c_str());
  }
  SSL_set_connect_state(ssl.get());
  return ssl;
}

}  // namespace slipway::http
