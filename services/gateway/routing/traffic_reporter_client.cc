#include "services/gateway/routing/traffic_reporter_client.h"

#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/log/log.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "slipway/controller/v1/controller.grpc.pb.h"

namespace slipway::gateway {

TrafficReporter::TrafficReporter(std::shared_ptr<grpc::Channel> controller, Token token,
                                 TrafficBook& book, const Clock& clock, const Options& options)
    : controller_(std::move(controller)),
      token_(std::move(token)),
      book_(book),
      clock_(clock),
      options_(options) {}

void TrafficReporter::Start() {
  thread_.Start(options_.period, RepeatingThread::First::kAfterInterval,
                [this, told = true]() mutable {
                  const absl::Status status = Report();
                  // Said once, not each time.
                  if (!status.ok() && told) {
                    Log(Severity::kWarning, "traffic_not_reported", {{"error", status}});
                  }
                  told = status.ok();
                });
}

absl::Status TrafficReporter::Report() {
  const controller::v1::ReportTrafficRequest report = book_.Take();
  if (report.traffic().empty() && report.shadows().empty()) return absl::OkStatus();
  const absl::StatusOr<std::string> token = token_();
  absl::Status status = token.status();
  if (status.ok()) {
    grpc::ClientContext context;
    PrepareContext(context, {.token = *token,
                             .request_id = {},
                             .deadline = clock_.Now() + options_.timeout,
                             .wait_for_ready = false});
    google::protobuf::Empty answer;
    status = FromGrpcStatus(controller::v1::ControllerService::NewStub(controller_)
                                ->ReportTraffic(&context, report, &answer));
  }
  if (!status.ok()) book_.Return(report);
  return status;
}

}  // namespace slipway::gateway
