#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <string>

#include "common/crypto/random.h"
#include "common/grpc/client.h"
#include "common/grpc/server.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "tests/integration/grpc/wire.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

// An authority that vouches for services, made for one test.
class Authority {
 public:
  explicit Authority(const TempDir& dir, const std::string& name)
      : dir_(dir), name_(name), key_(EVP_EC_gen("P-256")), certificate_(X509_new()) {
    Fill(certificate_, name, key_);
    AddExtension(certificate_, NID_basic_constraints, "critical,CA:TRUE");
    X509_set_issuer_name(certificate_, X509_get_subject_name(certificate_));
    X509_sign(certificate_, key_, EVP_sha256());
    WriteCertificate(dir_ / (name_ + "-ca.pem"), certificate_);
  }
  ~Authority() {
    X509_free(certificate_);
    EVP_PKEY_free(key_);
  }
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  // The files of a service that is called `host`, trusting this authority.
  TlsFiles Vouch(const std::string& file, const std::string& host) const {
    EVP_PKEY* key = EVP_EC_gen("P-256");
    X509* certificate = X509_new();
    Fill(certificate, host, key);
    AddExtension(certificate, NID_subject_alt_name, "DNS:" + host);
    X509_set_issuer_name(certificate, X509_get_subject_name(certificate_));
    X509_sign(certificate, key_, EVP_sha256());
    const TlsFiles files{.certificate_file = dir_ / (file + ".pem"),
                         .key_file = dir_ / (file + ".key"),
                         .ca_file = dir_ / (name_ + "-ca.pem")};
    WriteCertificate(files.certificate_file, certificate);
    FILE* out = std::fopen(files.key_file.c_str(), "w");
    PEM_write_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(out);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return files;
  }

 private:
  static void Fill(X509* certificate, const std::string& name, EVP_PKEY* key) {
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), RandomUint64() >> 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    X509_set_pubkey(certificate, key);
  }
  static void AddExtension(X509* certificate, int kind, const std::string& value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
  }
  static void WriteCertificate(const std::string& path, X509* certificate) {
    FILE* out = std::fopen(path.c_str(), "w");
    PEM_write_X509(out, certificate);
    std::fclose(out);
  }

  const TempDir& dir_;
  const std::string name_;
  EVP_PKEY* const key_;
  X509* const certificate_;
};

class MutualTlsTest : public ::testing::Test {
 protected:
  MutualTlsTest() {
    auto server =
        GrpcServer::Start({.address = "localhost:0", .tls = ours_.Vouch("a", "localhost")}, {});
    EXPECT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  std::string HealthSeenWith(const TlsFiles& tls) {
    return HealthOf(*OpenChannel({.address = server_->address(), .tls = tls}));
  }

  const TempDir dir_;
  const Authority ours_{dir_, "ours"};
  const Authority theirs_{dir_, "theirs"};
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(MutualTlsTest, LetsOurServicesIn) {
  EXPECT_THAT(server_->address(), ::testing::MatchesRegex("localhost:[1-9][0-9]*"));
  EXPECT_EQ(HealthSeenWith(ours_.Vouch("b", "gateway")), "NOT_SERVING");
}

TEST_F(MutualTlsTest, RefusesACallerThatNobodyVouchesFor) {
  TlsFiles stranger = theirs_.Vouch("c", "gateway");
  stranger.ca_file = dir_ / "ours-ca.pem";  // it believes the server, not the other way round
  EXPECT_THAT(HealthSeenWith(stranger), HasSubstr("UNAVAILABLE"));
}

TEST_F(MutualTlsTest, BelievesNoServerThatNobodyVouchesFor) {
  TlsFiles doubter = ours_.Vouch("d", "gateway");
  doubter.ca_file = dir_ / "theirs-ca.pem";
  EXPECT_THAT(HealthSeenWith(doubter), HasSubstr("UNAVAILABLE"));
}

TEST_F(MutualTlsTest, BelievesNoServerUnderAnothersName) {
  const auto impostor =
      GrpcServer::Start({.address = "localhost:0", .tls = ours_.Vouch("e", "registry")}, {});
  ASSERT_TRUE(impostor.ok());
  const auto channel =
      *OpenChannel({.address = (*impostor)->address(), .tls = ours_.Vouch("f", "gateway")});
  EXPECT_THAT(HealthOf(channel), HasSubstr("UNAVAILABLE"));
}

TEST_F(MutualTlsTest, SharesAPortWithNobody) {
  const auto second =
      GrpcServer::Start({.address = server_->address(), .tls = ours_.Vouch("g", "localhost")}, {});
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("in use"));
}

}  // namespace
}  // namespace slipway
