#include "common/http/io/ssl.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

namespace slipway::http {
namespace {

// HTTP/2 asks for forward secrecy and authenticated encryption (RFC 9113, 9.2.2).
constexpr char kTls12Ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

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

SslContextPtr NewContext(const SSL_METHOD* method) {
  SslContextPtr context(SSL_CTX_new(method));
  if (context == nullptr) std::abort();  // no memory
  SSL_CTX* const made = context.get();
  SSL_CTX_set_min_proto_version(made, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(made, kTls12Ciphers);
  SSL_CTX_set_options(made, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(made, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                             SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_OFF);  // clients hold tickets
  return context;
}

}  // namespace

void FreeSsl::operator()(ssl_st* ssl) const { SSL_free(ssl); }
void FreeSsl::operator()(ssl_ctx_st* context) const { SSL_CTX_free(context); }

SslPtr NewSsl(ssl_ctx_st& context, int descriptor) {
  SslPtr ssl(SSL_new(&context));
  if (ssl == nullptr) std::abort();  // no memory
  BIO* const bio = NewSocketBio(descriptor);
  SSL_set_bio(ssl.get(), bio, bio);
  return ssl;
}

SslContextPtr NewServerContext() {
  SslContextPtr context = NewContext(TLS_server_method());
  SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  return context;
}

SslContextPtr NewClientContext() { return NewContext(TLS_client_method()); }

std::string LastSslError() {
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof(text));
  ERR_clear_error();
  return text;
}

FileVersion FileVersion::Of(const std::string& file) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return {};
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size = static_cast<uint64_t>(info.st_size),
          .changed_ns = info.st_mtim.tv_sec * int64_t{1'000'000'000} + info.st_mtim.tv_nsec};
}

}  // namespace slipway::http
