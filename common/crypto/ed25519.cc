#include "common/crypto/ed25519.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "common/crypto/openssl.h"
#include "common/crypto/random.h"
#include "common/files/files.h"
#include "fmt/format.h"

namespace slipway {
namespace {

using internal::MustSucceed;

constexpr size_t kKeyBytes = 32;
constexpr size_t kSignatureBytes = 64;
constexpr uint64_t kMaxKeyFileBytes = 64 << 10;

using KeyPointer = std::shared_ptr<EVP_PKEY>;
using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

KeyPointer Own(EVP_PKEY* key) { return KeyPointer(key, EVP_PKEY_free); }

const unsigned char* Bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

Bio ReadOnly(std::string_view text) {
  Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), BIO_free);
  MustSucceed(bio != nullptr, "BIO_new_mem_buf");
  return bio;
}

Bio Writable() {
  // Secure: wiped when freed.
  Bio bio(BIO_new(BIO_s_secmem()), BIO_free);
  MustSucceed(bio != nullptr, "BIO_new");
  return bio;
}

std::string Contents(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

std::string RawPublicKey(const EVP_PKEY* key) {
  std::string bytes(kKeyBytes, '\0');
  size_t size = bytes.size();
  MustSucceed(
      EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(bytes.data()), &size) == 1,
      "EVP_PKEY_get_raw_public_key");
  return bytes;
}

// No prompt on the terminal for a key that turns out to have a password.
int NoPassword(char*, int, int, void*) { return -1; }

}  // namespace

absl::StatusOr<Ed25519PublicKey> Ed25519PublicKey::FromRaw(std::string_view bytes) {
  if (bytes.size() != kKeyBytes) {
    return absl::InvalidArgumentError(
        fmt::format("an Ed25519 public key has {} bytes, got {}", kKeyBytes, bytes.size()));
  }
  EVP_PKEY* key =
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, Bytes(bytes), bytes.size());
  MustSucceed(key != nullptr, "EVP_PKEY_new_raw_public_key");
  return Ed25519PublicKey(Own(key));
}

absl::StatusOr<std::vector<Ed25519PublicKey>> Ed25519PublicKey::AllFromPem(std::string_view pem,
                                                                           std::string_view what) {
  // Cut at the markers, since what OpenSSL says at the end of a text does not tell an end from a
  // key that was cut off.
  constexpr std::string_view kEnd = "-----END PUBLIC KEY-----";
  constexpr std::string_view kSpace = " \t\r\n";
  std::vector<Ed25519PublicKey> keys;
  while (pem.find_first_not_of(kSpace) != std::string_view::npos) {
    const size_t mark = pem.find(kEnd);
    const size_t end = mark == std::string_view::npos ? pem.size() : mark + kEnd.size();
    const Bio bio = ReadOnly(pem.substr(0, end));
    const KeyPointer key = Own(PEM_read_bio_PUBKEY(bio.get(), nullptr, NoPassword, nullptr));
    ERR_clear_error();
    if (key == nullptr || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
      return absl::InvalidArgumentError(
          fmt::format("{} does not hold Ed25519 public keys in PEM, and nothing else", what));
    }
    keys.push_back(Ed25519PublicKey(key));
    pem.remove_prefix(end);
  }
  if (keys.empty()) return absl::InvalidArgumentError(fmt::format("{} is empty", what));
  return keys;
}

std::string Ed25519PublicKey::ToRaw() const { return RawPublicKey(key_.get()); }

std::string Ed25519PublicKey::ToPem() const {
  const Bio bio = Writable();
  MustSucceed(PEM_write_bio_PUBKEY(bio.get(), key_.get()) == 1, "PEM_write_bio_PUBKEY");
  return Contents(bio.get());
}

bool Ed25519PublicKey::Verify(std::string_view message, std::string_view signature) const {
  if (signature.size() != kSignatureBytes) return false;
  const DigestContext context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  MustSucceed(context != nullptr &&
                  EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1,
              "EVP_DigestVerifyInit");
  const bool good = EVP_DigestVerify(context.get(), Bytes(signature), signature.size(),
                                     Bytes(message), message.size()) == 1;
  if (!good) ERR_clear_error();
  return good;
}

Ed25519PrivateKey Ed25519PrivateKey::Generate() {
  const Secret seed(RandomBytes(kKeyBytes));
  return *FromSeed(seed.Reveal());
}

absl::StatusOr<Ed25519PrivateKey> Ed25519PrivateKey::FromSeed(std::string_view seed) {
  if (seed.size() != kKeyBytes) {
    return absl::InvalidArgumentError(
        fmt::format("an Ed25519 seed has {} bytes, got {}", kKeyBytes, seed.size()));
  }
  EVP_PKEY* key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, Bytes(seed), seed.size());
  MustSucceed(key != nullptr, "EVP_PKEY_new_raw_private_key");
  return Ed25519PrivateKey(Own(key));
}

absl::StatusOr<Ed25519PrivateKey> Ed25519PrivateKey::Load(const std::string& path) {
  ASSIGN_OR_RETURN(std::string text, ReadFile(path, kMaxKeyFileBytes));
  const Secret pem(std::move(text));
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return FromErrno(errno, "stat", path);
  if ((info.st_mode & (S_IWGRP | S_IRWXO)) != 0) {
    return absl::InvalidArgumentError(
        fmt::format("{} is open to other users (mode {:04o}): chmod 600 it, and make a new key if "
                    "anybody may have read it",
                    path, info.st_mode & 07777));
  }
  const Bio bio = ReadOnly(pem.Reveal());
  KeyPointer key = Own(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassword, nullptr));
  ERR_clear_error();
  if (key == nullptr || EVP_PKEY_get_id(key.get()) != EVP_PKEY_ED25519) {
    return absl::InvalidArgumentError(
        fmt::format("{} is not an Ed25519 private key in PEM without a password", path));
  }
  return Ed25519PrivateKey(std::move(key));
}

absl::Status Ed25519PrivateKey::Save(const std::string& path) const {
  const Bio bio = Writable();
  MustSucceed(PEM_write_bio_PKCS8PrivateKey(bio.get(), key_.get(), nullptr, nullptr, 0, nullptr,
                                            nullptr) == 1,
              "PEM_write_bio_PKCS8PrivateKey");
  const Secret pem(Contents(bio.get()));
  // Whole under another name first, then link(), which unlike rename() never replaces a key.
  const std::string temporary = fmt::format("{}.{}.tmp", path, RandomHex(8));
  RETURN_IF_ERROR(WriteFileAtomically(temporary, pem.Reveal(), 0600));
  const int linked = ::link(temporary.c_str(), path.c_str());
  const int error = errno;
  ::unlink(temporary.c_str());
  if (linked != 0) return FromErrno(error, "cannot create", path);
  const size_t slash = path.rfind('/');
  return SyncFolder(slash == std::string::npos ? "." : path.substr(0, slash + 1));
}

Ed25519PublicKey Ed25519PrivateKey::public_key() const {
  // A key of its own, so that who holds the public half holds nothing else.
  return *Ed25519PublicKey::FromRaw(RawPublicKey(key_.get()));
}

std::string Ed25519PrivateKey::Sign(std::string_view message) const {
  const DigestContext context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::string signature(kSignatureBytes, '\0');
  size_t size = signature.size();
  MustSucceed(context != nullptr &&
                  EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key_.get()) == 1 &&
                  EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()),
                                 &size, Bytes(message), message.size()) == 1,
              "EVP_DigestSign");
  return signature;
}

}  // namespace slipway
