#ifndef SLIPWAY_TESTS_SUPPORT_REGISTRY_REGISTRY_SERVER_H_
#define SLIPWAY_TESTS_SUPPORT_REGISTRY_REGISTRY_SERVER_H_

#include <memory>
#include <string>

#include "tests/support/test_trust.h"

namespace slipway {

/// The real registry within this process, on a Unix socket, with its data in a folder. Aborts where
/// it does not start.
class RegistryServer {
 public:
  RegistryServer(const TestTrust& trust, const std::string& folder, const std::string& socket);
  ~RegistryServer();

  std::string address() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_REGISTRY_REGISTRY_SERVER_H_
