#ifndef SLIPWAY_SERVICES_GATEWAY_OPENAI_FINE_TUNING_H_
#define SLIPWAY_SERVICES_GATEWAY_OPENAI_FINE_TUNING_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/gateway/openai/files.h"
#include "services/gateway/openai/request.h"
#include "services/gateway/relay/inner_call.h"
#include "slipway/registry/v1/registry.pb.h"
#include "slipway/training/v1/training.pb.h"

namespace slipway::gateway::openai {

/// /v1/fine_tuning/jobs: training jobs that go on from a version of the tenant's. Those that were
/// made here have ids of their own ("ftjob-..."), and only they are shown. Any thread.
class FineTuning {
 public:
  /// All outlive this.
  FineTuning(InnerCalls& calls, Files& files, const Clock& clock)
      : calls_(calls), files_(files), clock_(clock) {}

  void Create(const RequestPtr& request);
  void List(const RequestPtr& request);
  void Retrieve(const RequestPtr& request);
  void Cancel(const RequestPtr& request);
  void Pause(const RequestPtr& request);
  void Resume(const RequestPtr& request);
  void ListEvents(const RequestPtr& request);
  void ListCheckpoints(const RequestPtr& request);

 private:
  struct Page;
  void ListFrom(const std::string& token, const std::shared_ptr<Page>& page);
  /// Each hands on what it finds, or answers for whoever asks.
  template <class Found>
  void FindVersion(const RequestPtr& request, const std::string& model, const std::string& version,
                   Found found);
  template <class Found>
  void FindJob(const RequestPtr& request, const registry::v1::ModelVersion& version, Found found);
  void Submit(const RequestPtr& request, absl::StatusOr<training::v1::JobSpec> spec);
  template <class Ask>
  void AskForJob(std::string_view method, const RequestPtr& request);
  /// `render` makes an object of an event.
  template <class Render>
  void ListSome(const RequestPtr& request, std::vector<std::string> kinds,
                std::string_view id_prefix, int default_page, Render render);

  InnerCalls& calls_;
  Files& files_;
  const Clock& clock_;
};

}  // namespace slipway::gateway::openai

#endif  // SLIPWAY_SERVICES_GATEWAY_OPENAI_FINE_TUNING_H_
