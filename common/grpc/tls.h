#ifndef SLIPWAY_COMMON_GRPC_TLS_H_
#define SLIPWAY_COMMON_GRPC_TLS_H_

#include <string>

#include "common/status/status.h"

namespace slipway {

/// The files of mutual TLS, PEM each. Read again every minute, so that certificates may be
/// renewed while the service runs. Part of config structs, as `tls`.
struct TlsFiles {
  std::string certificate_file;
  std::string key_file;
  std::string ca_file;

  bool configured() const {
    return !certificate_file.empty() || !key_file.empty() || !ca_file.empty();
  }
  /// OK when the three are given and can be read, or none is given.
  absl::Status Check() const;

  template <class V>
  void Describe(V& v) {
    v.Field("certificate_file", certificate_file,
            "This service's certificate chain (PEM); all three files or none");
    v.Field("key_file", key_file, "The certificate's private key (PEM)");
    v.Field("ca_file", ca_file, "The authorities that vouch for the platform's services (PEM)");
  }
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_GRPC_TLS_H_
