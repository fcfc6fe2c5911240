#include "services/gateway/routing/route_watcher_client.h"

#include <algorithm>
#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/log/log.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "prometheus/gauge.h"
#include "slipway/controller/v1/controller.grpc.pb.h"

namespace slipway::gateway {

RouteWatcher::RouteWatcher(std::shared_ptr<grpc::Channel> controller, Token token,
                           RouteTable::WorkerFor worker_for, Routes& routes,
                           GatewayMetrics& metrics, TrafficBook& traffic, const Options& options)
    : controller_(std::move(controller)),
      token_(std::move(token)),
      worker_for_(std::move(worker_for)),
      routes_(routes),
      metrics_(metrics),
      traffic_(traffic),
      options_(options) {}

RouteWatcher::~RouteWatcher() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    if (stream_ != nullptr) stream_->TryCancel();
  }
  wake_.SignalAll();
}

void RouteWatcher::Start() {
  thread_ = std::jthread([this] { Run(); });
}

bool RouteWatcher::Watch() {
  const absl::StatusOr<std::string> token = token_();
  if (!token.ok()) {
    Log(Severity::kError, "routes_not_watched", {{"error", token.status()}});
    return false;
  }
  grpc::ClientContext context;
  PrepareContext(context, {.token = *token,
                           .request_id = {},
                           .deadline = absl::InfiniteFuture(),
                           .wait_for_ready = false});
  {
    MutexLock lock(mutex_);
    if (stopping_) return false;
    stream_ = &context;
  }
  const auto stub = controller::v1::ControllerService::NewStub(controller_);
  const auto reader = stub->WatchRoutes(&context, controller::v1::WatchRoutesRequest());
  auto& generation = metrics_.metrics().Gauge(
      "routes_generation", "Of the route table in use, as the controller counts them");
  controller::v1::RouteTable table;
  bool brought = false;
  while (reader->Read(&table)) {
    brought = true;
    auto next =
        std::make_shared<RouteTable>(table, *routes_.Get(), worker_for_, metrics_, traffic_);
    Log(Severity::kInfo, "routes_changed",
        {{"generation", next->generation()}, {"endpoints", next->size()}});
    routes_.Set(std::move(next));
    generation.Set(static_cast<double>(table.generation()));
  }
  const grpc::Status status = reader->Finish();
  MutexLock lock(mutex_);
  stream_ = nullptr;
  if (!stopping_ && brought) {
    Log(Severity::kWarning, "route_stream_ended", {{"error", FromGrpcStatus(status)}});
  }
  return brought;
}

void RouteWatcher::Run() {
  absl::Duration pause = options_.first_retry;
  for (;;) {
    if (Watch()) pause = options_.first_retry;
    MutexLock lock(mutex_);
    if (!stopping_) wake_.WaitFor(mutex_, absl::ToChronoNanoseconds(pause));
    if (stopping_) return;
    pause = std::min(2 * pause, options_.last_retry);
  }
}

}  // namespace slipway::gateway
