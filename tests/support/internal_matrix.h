#ifndef SLIPWAY_TESTS_SUPPORT_INTERNAL_MATRIX_H_
#define SLIPWAY_TESTS_SUPPORT_INTERNAL_MATRIX_H_

#include <memory>
#include <string>
#include <vector>

#include "common/grpc/edge.h"
#include "common/identity/principal.h"
#include "tests/support/test_trust.h"

namespace slipway {

/// A gRPC service that runs, and what its proto says about it.
struct MatrixService {
  /// Full name, "slipway.registry.v1.RegistryService"; its proto must be linked in.
  std::string name;
  /// What a client dials; a Unix socket.
  std::string address;
  /// Which service it is: the audience of its tokens. It trusts the keys of the TestTrust.
  ServiceId self;
  /// For a proto that declares no callers: the table that its ServiceEdge was given.
  std::vector<MethodPolicy> policies{};
};

/// Calls every method of the service, as the descriptor has them and with empty messages, and
/// checks that it answers
///
///   UNAUTHENTICATED    without a token; with garbage; with a token that has expired, that is
///                      meant for another service, that a stranger has signed, or twice
///   PERMISSION_DENIED  to each service that the method does not list among its callers
///   neither of these   to each service that it does
///
/// so that a handler that was written without ServiceEdge fails here by name. (What a caller in
/// the list gets for an empty message is the service's own business, but for one code: a domain
/// that answers PERMISSION_DENIED to everything would hide a wrong list.)
void ExpectInternalMatrix(const MatrixService& service, const TestTrust& trust);

/// The failures that ExpectInternalMatrix would report, one text each.
std::vector<std::string> InternalMatrixFailures(const MatrixService& service,
                                                const TestTrust& trust);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_INTERNAL_MATRIX_H_
