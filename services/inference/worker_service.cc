#include "services/inference/worker_service.h"

#include <utility>

#include "common/process/memory.h"
#include "google/protobuf/empty.pb.h"
#include "services/inference/model_settings.h"
#include "slipway/worker/v1/worker.pb.h"

namespace slipway::worker {
namespace {

v1::LoadedModel::State ToProto(ModelReport::State state) {
  switch (state) {
    case ModelReport::State::kLoading:
      return v1::LoadedModel::LOADING;
    case ModelReport::State::kReady:
      return v1::LoadedModel::READY;
    case ModelReport::State::kFailed:
      return v1::LoadedModel::FAILED;
    case ModelReport::State::kUnloading:
      return v1::LoadedModel::UNLOADING;
  }
  return v1::LoadedModel::STATE_UNSPECIFIED;
}

void Fill(const ModelReport& report, v1::ModelFacts& facts) {
  *facts.mutable_signature() = slipway::ToProto(report.signature);
  facts.set_platform(report.platform);
  facts.set_instances(report.parallelism.instances);
  facts.set_threads(report.parallelism.threads);
  facts.set_max_rows(report.max_rows);
  if (!report.precision_check) return;
  v1::PrecisionCheck& check = *facts.mutable_precision_check();
  check.set_samples(report.precision_check->samples);
  check.set_largest_difference(report.precision_check->largest_difference);
  check.set_changed_labels(report.precision_check->changed_labels);
}

v1::LoadedModel ToProto(const ModelReport& report) {
  v1::LoadedModel model;
  model.set_deployment(report.deployment.ToString());
  model.set_model_version(report.version.ToString());
  model.set_state(ToProto(report.state));
  model.set_error(report.error);
  model.set_memory_bytes(report.memory.host);
  model.set_device_memory_bytes(report.memory.device);
  if (report.state == ModelReport::State::kReady) Fill(report, *model.mutable_facts());
  return model;
}

}  // namespace

class WorkerService::Impl {
 public:
  Impl(LoadedModels& models, const std::atomic<bool>& ready, std::unique_ptr<ServiceEdge> edge)
      : models_(models), ready_(ready), service_(std::move(edge)) {
    service_.AddBlocking("LoadModel", pool_, *this, &Impl::LoadModel);
    service_.AddBlocking("UnloadModel", pool_, *this, &Impl::UnloadModel);
    service_.AddBlocking("ListLoadedModels", pool_, *this, &Impl::ListLoadedModels);
  }

  Service& service() { return service_; }

 private:
  // Of calls that wait for the thread.
  static constexpr size_t kMaxWaiting = 256;

  absl::Status LoadModel(const CallContext&, const v1::LoadModelRequest& request,
                         v1::LoadedModel& response) {
    ASSIGN_OR_RETURN(ModelSettings settings,
                     ParseModelSettings(request.runtime(), models_.batching(), "runtime"));
    ASSIGN_OR_RETURN(const ModelReport report,
                     models_.Load(request.deployment(), request.model_version(), request.token(),
                                  std::move(settings), request.steps()));
    response = ToProto(report);
    return absl::OkStatus();
  }

  absl::Status UnloadModel(const CallContext&, const v1::UnloadModelRequest& request,
                           google::protobuf::Empty&) {
    return models_.Unload(request.deployment(), request.model_version());
  }

  absl::Status ListLoadedModels(const CallContext&, const v1::ListLoadedModelsRequest&,
                                v1::ListLoadedModelsResponse& response) {
    for (const ModelReport& report : models_.List()) {
      v1::LoadedModel& model = *response.add_models();
      model = ToProto(report);
      if (!ready_) model.set_state(v1::LoadedModel::UNLOADING);
    }
    v1::ProcessMemory& memory = *response.mutable_memory();
    memory.set_resident_bytes(OwnResidentBytes());
    memory.set_accounted_bytes(at_start_ + kKeptBytes + models_.accounted_bytes());
    return absl::OkStatus();
  }

  LoadedModels& models_;
  const std::atomic<bool>& ready_;
  // Of memory, before the first model.
  const int64_t at_start_ = OwnResidentBytes();
  WorkPool pool_{/*threads=*/1, kMaxWaiting};
  Service service_;
};

absl::StatusOr<std::unique_ptr<WorkerService>> WorkerService::Create(LoadedModels& models,
                                                                     const std::atomic<bool>& ready,
                                                                     const TokenVerifier& verifier,
                                                                     Metrics& metrics,
                                                                     const Clock& clock) {
  ASSIGN_OR_RETURN(
      std::unique_ptr<ServiceEdge> edge,
      ServiceEdge::Create("slipway.worker.v1.WorkerService", verifier, metrics, clock));
  return std::unique_ptr<WorkerService>(
      new WorkerService(std::make_unique<Impl>(models, ready, std::move(edge))));
}

WorkerService::WorkerService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WorkerService::~WorkerService() = default;
Service& WorkerService::service() { return impl_->service(); }

}  // namespace slipway::worker
