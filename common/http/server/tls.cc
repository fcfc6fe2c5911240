#include "common/http/server/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "fmt/format.h"

namespace slipway::http {
namespace {

// In the order in which the server would rather have them (RFC 7301, 3.1).
constexpr unsigned char kProtocols[] = "\x02h2\x08http/1.1";
// HTTP/2 asks for forward secrecy and authenticated encryption (RFC 9113, 9.2.2).
constexpr char kTls12Ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

std::string LastError() {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof(text));
  ERR_clear_error();
  return text;
}

int SelectProtocol(SSL*, const unsigned char** selected, unsigned char* size,
                   const unsigned char* offered, unsigned int offered_size, void*) {
  unsigned char* found = nullptr;
  const int result = SSL_select_next_proto(&found, size, kProtocols, sizeof(kProtocols) - 1,
                                           offered, offered_size);
  *selected = found;
  return result == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int Descriptor(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

// OpenSSL's own socket BIO raises SIGPIPE where the peer is gone.
int WriteSocket(BIO* bio, const char* bytes, size_t size, size_t* written) {
  BIO_clear_retry_flags(bio);
  const ssize_t count = ::send(Descriptor(bio), bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) BIO_set_retry_write(bio);
    return 0;
  }
  *written = static_cast<size_t>(count);
  return 1;
}

int ReadSocket(BIO* bio, char* space, size_t size, size_t* read) {
  BIO_clear_retry_flags(bio);
  const ssize_t count = ::recv(Descriptor(bio), space, size, MSG_DONTWAIT);
  if (count <= 0) {
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) {
      BIO_set_retry_read(bio);
    }
    return 0;
  }
  *read = static_cast<size_t>(count);
  return 1;
}

long ControlSocket(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

BIO* NewSocketBio(int descriptor) {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");
    BIO_meth_set_write_ex(made, WriteSocket);
    BIO_meth_set_read_ex(made, ReadSocket);
    BIO_meth_set_ctrl(made, ControlSocket);
    return made;
  }();
  BIO* const bio = BIO_new(method);
  if (bio == nullptr) std::abort();  // no memory
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(descriptor)));
  BIO_set_init(bio, 1);
  return bio;
}

}  // namespace

void FreeSsl::operator()(ssl_st* ssl) const { SSL_free(ssl); }
void FreeSsl::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

Tls::Tls(std::string certificate_file, std::string key_file)
    : certificate_file_(std::move(certificate_file)), key_file_(std::move(key_file)) {}

Tls::~Tls() = default;

absl::StatusOr<std::unique_ptr<Tls>> Tls::Load(std::string certificate_file, std::string key_file) {
  std::unique_ptr<Tls> tls(new Tls(std::move(certificate_file), std::move(key_file)));
  RETURN_IF_ERROR(tls->Read());
  return tls;
}

Tls::Version Tls::VersionOf(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return {};
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size = static_cast<uint64_t>(info.st_size),
          .changed_ns = info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec};
}

absl::StatusOr<bool> Tls::Refresh() {
  if (VersionOf(certificate_file_) == certificate_version_ &&
      VersionOf(key_file_) == key_version_) {
    return false;
  }
  RETURN_IF_ERROR(Read());
  return true;
}

absl::Status Tls::Read() {
  // Before they are read: a change in between is seen next time.
  certificate_version_ = VersionOf(certificate_file_);
  key_version_ = VersionOf(key_file_);
  std::unique_ptr<ssl_ctx_st, FreeSsl> context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) std::abort();  // no memory
  SSL_CTX* const made = context.get();
  SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(made, kTls12Ciphers);
  SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                             SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);  // clients hold tickets
  SSL_CTX_set_alpn_select_cb(made, SelectProtocol, nullptr);
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(made, certificate_file_.c_str()) != 1) {
    return InvalidField("tls_certificate_file",
                        fmt::format("{} cannot be used: {}", certificate_file_, LastError()));
  }
  if (SSL_CTX_use_PrivateKey_file(made, key_file_.c_str(), SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(made) != 1) {
    return InvalidField("tls_key_file", fmt::format("{} cannot be used with {}: {}", key_file_,
                                                    certificate_file_, LastError()));
  }
  context_ = std::move(context);
  return absl::OkStatus();
}

SslPtr Tls::NewConnection(int descriptor) {
  SslPtr ssl(SSL_new(context_.get()));
  if (ssl == nullptr) std::abort();  // no memory
  BIO* const bio = NewSocketBio(descriptor);
  SSL_set_bio(ssl.get(), bio, bio);
  SSL_set_accept_state(ssl.get());
  return ssl;
}

}  // namespace slipway::http
