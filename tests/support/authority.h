#ifndef SLIPWAY_TESTS_SUPPORT_AUTHORITY_H_
#define SLIPWAY_TESTS_SUPPORT_AUTHORITY_H_

#include <string>

#include "common/grpc/tls.h"
#include "tests/support/temp_dir.h"

struct evp_pkey_st;
struct x509_st;

namespace slipway {

/// An authority that vouches for services, made for one test.
class Authority {
 public:
  /// Writes its certificate into `dir`, which outlives it.
  Authority(const TempDir& dir, const std::string& name);
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  std::string ca_file() const;

  /// The files of a service that is called `host`, trusting this authority.
  TlsFiles Vouch(const std::string& file, const std::string& host) const;

 private:
  const TempDir& dir_;
  const std::string name_;
  evp_pkey_st* const key_;
  x509_st* const certificate_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_AUTHORITY_H_
