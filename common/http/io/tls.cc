#include "common/http/io/tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <utility>

#include "fmt/format.h"

namespace slipway::http {
namespace {

// In the order in which the server would rather have them (RFC 7301, 3.1).
constexpr unsigned char kProtocols[] = "\x02h2\x08http/1.1";

int SelectProtocol(SSL*, const unsigned char** selected, unsigned char* size,
                   const unsigned char* offered, unsigned int offered_size, void*) {
  unsigned char* found = nullptr;
  const int result = SSL_select_next_proto(&found, size, kProtocols, sizeof(kProtocols) - 1,
                                           offered, offered_size);
  *selected = found;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

absl::Status RequireClientCertificates(SSL_CTX& context, const std::string& ca_file) {
  STACK_OF(X509_NAME)* const authorities = SSL_load_client_CA_file(ca_file.c_str());
  if (authorities == nullptr ||
      SSL_CTX_load_verify_locations(&context, ca_file.c_str(), nullptr) != 1) {
    sk_X509_NAME_pop_free(authorities, X509_NAME_free);
    return InvalidField("tls_client_ca_file",
                        fmt::format("{} cannot be used: {}", ca_file, LastSslError()));
  }
  SSL_CTX_set_client_CA_list(&context, authorities);
  SSL_CTX_set_verify(&context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // A ticket would let a client in whose authority is believed no more.
  SSL_CTX_set_options(&context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(&context, 0);
  return absl::OkStatus();
}

}  // namespace

Tls::Tls(std::string certificate_file, std::string key_file, std::string client_ca_file)
    : certificate_file_(std::move(certificate_file)),
      key_file_(std::move(key_file)),
      client_ca_file_(std::move(client_ca_file)) {}

Tls::~Tls() = default;

absl::StatusOr<std::unique_ptr<Tls>> Tls::Load(std::string certificate_file, std::string key_file,
                                               std::string client_ca_file) {
  std::unique_ptr<Tls> tls(
      new Tls(std::move(certificate_file), std::move(key_file), std::move(client_ca_file)));
  RETURN_IF_ERROR(tls->Read());
  return tls;
}

absl::StatusOr<bool> Tls::Refresh() {
  if (FileVersion::Of(certificate_file_) == certificate_version_ &&
      FileVersion::Of(key_file_) == key_version_ &&
      FileVersion::Of(client_ca_file_) == client_ca_version_) {
    return false;
  }
  RETURN_IF_ERROR(Read());
  return true;
}

absl::Status Tls::Read() {
  // Before they are read: a change in between is seen next time.
  certificate_version_ = FileVersion::Of(certificate_file_);
  key_version_ = FileVersion::Of(key_file_);
  client_ca_version_ = FileVersion::Of(client_ca_file_);
  SslContextPtr context = NewServerContext();
  SSL_CTX* const made = context.get();
  SSL_CTX_set_alpn_select_cb(made, SelectProtocol, nullptr);
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(made, certificate_file_.c_str()) != 1) {
    return InvalidField("tls_certificate_file",
                        fmt::format("{} cannot be used: {}", certificate_file_, LastSslError()));
  }
  if (SSL_CTX_use_PrivateKey_file(made, key_file_.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(made) != 1) {
    return InvalidField("tls_key_file", fmt::format("{} cannot be used with {}: {}", key_file_,
                                                    certificate_file_, LastSslError()));
  }
  if (!client_ca_file_.empty()) RETURN_IF_ERROR(RequireClientCertificates(*made, client_ca_file_));
  context_ = std::move(context);
  return absl::OkStatus();
}

SslPtr Tls::NewConnection(int descriptor) {
  SslPtr ssl = NewSsl(*context_, descriptor);
  SSL_set_accept_state(ssl.get());
  return ssl;
}

}  // namespace slipway::http
