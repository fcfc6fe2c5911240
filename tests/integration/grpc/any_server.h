#ifndef SLIPWAY_TESTS_INTEGRATION_GRPC_ANY_SERVER_H_
#define SLIPWAY_TESTS_INTEGRATION_GRPC_ANY_SERVER_H_

#include <memory>
#include <ostream>
#include <string>

#include "absl/time/time.h"
#include "common/grpc/tls.h"
#include "common/status/status.h"
#include "gtest/gtest.h"

namespace grpc {
class Service;
}

namespace slipway {

class Service;

/// Which of the two servers for calls inside the platform: what a test says of one, holds for both.
enum class Library { kGrpc, kListener };

inline void PrintTo(Library library, std::ostream* out) {
  *out << (library == Library::kGrpc ? "GrpcServer" : "ServiceListener");
}
inline const auto kBothLibraries = ::testing::Values(Library::kGrpc, Library::kListener);

/// A GrpcServer or a ServiceListener.
class AnyServer {
 public:
  virtual ~AnyServer() = default;
  virtual const std::string& address() const = 0;
  virtual void SetServing(bool serving) = 0;
  virtual void Drain(absl::Duration grace) = 0;
};

/// With one service, in the form that the server takes, or with none.
absl::StatusOr<std::unique_ptr<AnyServer>> StartAny(Library library, const std::string& address,
                                                    const TlsFiles& tls = {},
                                                    grpc::Service* grpc_service = nullptr,
                                                    Service* service = nullptr);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_INTEGRATION_GRPC_ANY_SERVER_H_
