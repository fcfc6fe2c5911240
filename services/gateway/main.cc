// slipway-gateway: the only public door. Keys, the public API, predictions, usage and audit.

#include <atomic>
#include <memory>

#include "common/admin/admin.h"
#include "common/config/service_main.h"
#include "common/config/version.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/process/memory.h"
#include "common/process/shutdown.h"
#include "common/time/clock.h"
#include "services/gateway/config.h"
#include "services/gateway/gateway.h"
#include "services/gateway/metrics_door.h"

namespace slipway::gateway {
namespace {

absl::Status Run(const GatewayConfig& config) {
  KeepFreedMemory(/*total_bytes=*/16 << 20);
  ShutdownSignal shutdown;
  const Clock& clock = Clock::Real();
  if (config.recover_admin_key) return RecoverAdminKey(config, clock);
  if (config.verify_audit) return VerifyAudit(config);

  Metrics metrics("gateway");
  // Goes after the admin listener, which asks it.
  std::unique_ptr<Gateway> gateway;
  // The admin listener answers while the rest starts, and says not ready.
  std::atomic<Gateway*> started = nullptr;
  ASSIGN_OR_RETURN(const auto admin, AdminServer::Start(config.admin_listen, metrics, [&] {
                     const Gateway* running = started.load();
                     return running != nullptr && running->ready();
                   }));
  ASSIGN_OR_RETURN(gateway, Gateway::Start(config, metrics, clock));
  std::unique_ptr<MetricsDoor> door;
  if (!config.metrics_listen.empty()) {
    ASSIGN_OR_RETURN(door, MetricsDoor::Start(config.metrics_listen, config.metrics_targets));
  }
  started = gateway.get();
  Log(Severity::kInfo, "service_started",
      {{"address", gateway->address()}, {"version", Version()}});

  const std::string reason = shutdown.Wait();
  Log(Severity::kInfo, "service_stopping", {{"reason", reason}});
  const int cut = gateway->Drain();
  Log(cut == 0 ? Severity::kInfo : Severity::kWarning, "service_stopped", {{"requests_cut", cut}});
  return absl::OkStatus();
}

}  // namespace
}  // namespace slipway::gateway

int main(int argc, char** argv) {
  return slipway::ServiceMain<slipway::gateway::GatewayConfig>("gateway", argc, argv,
                                                               slipway::gateway::Run);
}
