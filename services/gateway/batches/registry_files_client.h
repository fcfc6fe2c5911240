#ifndef SLIPWAY_SERVICES_GATEWAY_BATCHES_REGISTRY_FILES_CLIENT_H_
#define SLIPWAY_SERVICES_GATEWAY_BATCHES_REGISTRY_FILES_CLIENT_H_

#include <memory>
#include <string>

#include "common/identity/token.h"
#include "common/time/clock.h"
#include "services/gateway/batches/batch_files.h"

namespace grpc {
class Channel;
}

namespace slipway::gateway {

/// BatchFiles in the registry.
class RegistryFiles final : public BatchFiles {
 public:
  /// `tokens` and `clock` outlive this.
  RegistryFiles(std::shared_ptr<grpc::Channel> registry, TokenIssuer& tokens, const Clock& clock)
      : registry_(std::move(registry)), tokens_(tokens), clock_(clock) {}

  absl::StatusOr<std::unique_ptr<Source>> Open(const Principal& who, const std::string& dataset,
                                               int64_t offset_bytes, int64_t max_bytes) override;
  absl::StatusOr<std::string> Write(const Principal& who, const NewFile& file,
                                    absl::FunctionRef<absl::StatusOr<std::string>()> next) override;

 private:
  const std::shared_ptr<grpc::Channel> registry_;
  TokenIssuer& tokens_;
  const Clock& clock_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BATCHES_REGISTRY_FILES_CLIENT_H_
