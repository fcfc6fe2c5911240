#ifndef SLIPWAY_SERVICES_INFERENCE_GRPC_BLOB_CLIENT_H_
#define SLIPWAY_SERVICES_INFERENCE_GRPC_BLOB_CLIENT_H_

#include <memory>
#include <string>

#include "common/blob/blob_source.h"
#include "common/grpc/client.h"
#include "common/time/clock.h"

namespace slipway::worker {

/// The registry's blobs over gRPC.
class GrpcBlobClient final : public BlobSource {
 public:
  /// For a whole blob.
  static constexpr absl::Duration kDownloadTimeout = absl::Minutes(30);

  /// `clock` outlives the client. Errors: those of OpenChannel.
  static absl::StatusOr<std::unique_ptr<GrpcBlobClient>> Create(const ChannelOptions& registry,
                                                                const Clock& clock);
  ~GrpcBlobClient() override;

  absl::Status Download(const BlobName& name, const std::string& token,
                        absl::FunctionRef<absl::Status(std::string_view)> sink) override;

 private:
  struct Impl;
  GrpcBlobClient(std::unique_ptr<Impl> impl, const Clock& clock);

  const std::unique_ptr<Impl> impl_;
  const Clock& clock_;
};

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_GRPC_BLOB_CLIENT_H_
