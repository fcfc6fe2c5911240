#include <atomic>
#include <cstdio>

#include "common/blob/blob_cache.h"
#include "common/grpc/service_listener.h"
#include "common/identity/token.h"
#include "common/metrics/metrics.h"
#include "common/process/memory.h"
#include "common/process/shutdown.h"
#include "services/inference/batching/batcher.h"
#include "services/inference/inference_service.h"
#include "services/inference/loaded_models.h"
#include "tests/bench/tensor/relay.h"
#include "tests/support/serving/identity_runtime.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/services/inference/fakes.h"

namespace slipway {

int RunIdentityWorker(const std::string& address, const std::string& trust) {
  KeepFreedMemory();  // as slipway-worker does
  ShutdownSignal shutdown;
  const Clock& clock = Clock::Real();
  const TempDir dir;
  Metrics metrics("worker");
  FakeBlobSource blobs;
  worker::IdentityRuntime runtime;
  auto verifier = TokenVerifier::Create(trust, ServiceId::kWorker, clock);
  auto cache = BlobCache::Open({.folder = dir / "blobs"}, blobs);
  if (!verifier.ok() || !cache.ok()) return 1;
  worker::Batcher batcher({.instances = 1}, clock);
  worker::LoadedModels models(*cache, runtime, batcher, metrics, {});
  const std::atomic<bool> ready = true;
  auto service = worker::InferenceService::Create(
      models, batcher, /*memory=*/nullptr, /*tracer=*/nullptr, ready, **verifier, metrics, clock);
  if (!service.ok()) return 1;

  slipway::registry::v1::ModelVersion version;
  version.set_name("tenants/acme/models/image/versions/1");
  version.mutable_artifact()->set_format("identity");
  auto& input = *version.mutable_signature()->add_inputs();
  input.set_name("pixels");
  input.set_datatype("FP32");
  for (int i = 0; i < 4; ++i) input.add_shape(-1);
  *version.mutable_signature()->add_outputs() = input;
  auto& file = *version.mutable_artifact()->add_files();
  const std::string bytes = version.signature().SerializeAsString();
  file.set_path("signature");
  file.set_digest(blobs.Add(bytes));
  file.set_size_bytes(static_cast<int64_t>(bytes.size()));
  if (!models.Load("tenants/acme/deployments/image", version, "").ok()) return 1;
  while (models.List()[0].state == worker::ModelReport::State::kLoading) {
    clock.SleepFor(absl::Milliseconds(1));
  }

  const auto listener = ServiceListener::Start({.address = address}, {&(*service)->service()});
  if (!listener.ok()) {
    std::fprintf(stderr, "%s\n", listener.status().ToString().c_str());
    return 1;
  }
  shutdown.Wait();
  return 0;
}

}  // namespace slipway
