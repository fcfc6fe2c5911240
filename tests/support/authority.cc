#include "tests/support/authority.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <utility>

#include "common/crypto/random.h"

namespace slipway {
namespace {

void Fill(X509* certificate, const std::string& name, EVP_PKEY* key) {
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), RandomUint64() >> 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_pubkey(certificate, key);
}
void AddExtension(X509* certificate, int kind, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}
void WriteCertificate(const std::string& path, X509* certificate) {
  FILE* out = std::fopen(path.c_str(), "w");
  PEM_write_X509(out, certificate);
  std::fclose(out);
}

}  // namespace

Authority::Authority(const TempDir& dir, const std::string& name)
    : dir_(dir), name_(name), key_(EVP_EC_gen("P-256")), certificate_(X509_new()) {
  Fill(certificate_, name, key_);
  AddExtension(certificate_, NID_basic_constraints, "critical,CA:TRUE");
  X509_set_issuer_name(certificate_, X509_get_subject_name(certificate_));
  X509_sign(certificate_, key_, EVP_sha256());
  WriteCertificate(ca_file(), certificate_);
}

Authority::~Authority() {
  X509_free(certificate_);
  EVP_PKEY_free(key_);
}

std::string Authority::ca_file() const { return dir_ / (name_ + "-ca.pem"); }

TlsFiles Authority::Vouch(const std::string& file, const std::string& host) const {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  Fill(certificate, host, key);
  AddExtension(certificate, NID_subject_alt_name, "DNS:" + host);
  X509_set_issuer_name(certificate, X509_get_subject_name(certificate_));
  X509_sign(certificate, key_, EVP_sha256());
  const TlsFiles files{.certificate_file = dir_ / (file + ".pem"),
                       .key_file = dir_ / (file + ".key"),
                       .ca_file = ca_file()};
  WriteCertificate(files.certificate_file, certificate);
  FILE* out = std::fopen(files.key_file.c_str(), "w");
  PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(out);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return files;
}

}  // namespace slipway
