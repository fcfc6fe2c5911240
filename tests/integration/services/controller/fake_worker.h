#ifndef SLIPWAY_TESTS_INTEGRATION_SERVICES_CONTROLLER_FAKE_WORKER_H_
#define SLIPWAY_TESTS_INTEGRATION_SERVICES_CONTROLLER_FAKE_WORKER_H_

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/grpc/server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::controller {

/// A worker as the controller sees it: a real gRPC server on a Unix socket that checks tokens,
/// and "loads" at once. Any thread.
class FakeWorkerServer {
 public:
  explicit FakeWorkerServer(const TestTrust& trust);
  ~FakeWorkerServer();

  const std::string& address() const { return address_; }

  /// Loads of this version fail from now on; those that are loaded stay.
  void FailLoadsOf(const std::string& version);
  /// "load <version>" and "unload <version>", in order.
  std::vector<std::string> Calls() const;
  /// The principals of the tokens that loads carried.
  std::vector<Principal> LoadPrincipals() const;
  /// Ends the server; what it had loaded is gone.
  void Stop();
  void Start();

 private:
  class Service;
  const TempDir dir_;
  const std::string address_;
  const std::unique_ptr<Service> service_;
  std::unique_ptr<GrpcServer> server_;
};

}  // namespace slipway::controller

#endif  // SLIPWAY_TESTS_INTEGRATION_SERVICES_CONTROLLER_FAKE_WORKER_H_
