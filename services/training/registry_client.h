#ifndef SLIPWAY_SERVICES_TRAINING_REGISTRY_CLIENT_H_
#define SLIPWAY_SERVICES_TRAINING_REGISTRY_CLIENT_H_

#include <memory>
#include <string>

#include "common/grpc/client.h"
#include "common/identity/token.h"
#include "services/training/model_registry.h"

namespace slipway::training {

/// The registry service, over gRPC, with training's own tokens. Any thread.
class RegistryClient final : public ModelRegistry {
 public:
  /// `tokens` outlives the client. Errors: those of OpenChannel.
  static absl::StatusOr<std::unique_ptr<RegistryClient>> Create(const ChannelOptions& channel,
                                                                TokenIssuer& tokens);
  ~RegistryClient() override;

  absl::StatusOr<registry::v1::Dataset> GetDataset(const Principal& who, const DatasetName& name,
                                                   absl::Time deadline) override;
  absl::StatusOr<std::string> ReadBlob(const Principal& who, const std::string& digest,
                                       int64_t offset, int64_t bytes, absl::Time deadline) override;
  absl::StatusOr<registry::v1::Blob> StoreBlob(const Principal& who,
                                               absl::FunctionRef<absl::Status(PieceSink)> content,
                                               absl::Time deadline) override;
  absl::StatusOr<registry::v1::Dataset> CreateDataset(const Principal& who, const DatasetName& name,
                                                      const registry::v1::Dataset& dataset,
                                                      absl::Time deadline) override;
  absl::StatusOr<registry::v1::ModelVersion> GetVersion(const Principal& who,
                                                        const VersionName& version,
                                                        absl::Time deadline) override;
  absl::StatusOr<registry::v1::ModelVersion> GetVersion(const Principal& who,
                                                        const AliasName& alias,
                                                        absl::Time deadline) override;
  absl::StatusOr<std::string> CreateVersion(const Principal& who, const ModelName& model,
                                            const registry::v1::ModelVersion& version,
                                            const std::string& request_id,
                                            absl::Time deadline) override;
  absl::Status SetAlias(const Principal& who, const AliasName& alias, const std::string& version,
                        absl::Time deadline) override;

 private:
  class Impl;
  explicit RegistryClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace slipway::training

#endif  // SLIPWAY_SERVICES_TRAINING_REGISTRY_CLIENT_H_
