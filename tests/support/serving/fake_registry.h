#ifndef SLIPWAY_TESTS_SUPPORT_SERVING_FAKE_REGISTRY_H_
#define SLIPWAY_TESTS_SUPPORT_SERVING_FAKE_REGISTRY_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/grpc/server.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "slipway/registry/v1/registry.pb.h"
#include "tests/support/serving/test_artifact.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway {

/// The registry as workers and the controller see it: a real gRPC server on a Unix socket that
/// checks tokens as the real one does (who calls, for which tenant, within which scopes) and
/// answers from memory. Any thread.
class FakeRegistryServer {
 public:
  explicit FakeRegistryServer(const TestTrust& trust);
  ~FakeRegistryServer();

  const std::string& address() const;

  /// Keeps the artifact's files as blobs of the name's tenant, and the version.
  slipway::registry::v1::ModelVersion AddVersion(const std::string& name,
                                                 const TestArtifact& artifact);
  /// A pipeline whose steps name these versions; no more of it is there.
  void AddPipeline(const std::string& name, const std::vector<std::string>& steps);
  void SetAlias(const std::string& alias, const std::string& version);

  /// From now on the blob of that digest arrives so.
  void SpoilBlob(const std::string& digest, const std::string& bytes);

  int downloads() const;

 private:
  class Service;
  const TempDir dir_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<GrpcServer> server_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_SERVING_FAKE_REGISTRY_H_
