#ifndef SLIPWAY_SERVICES_GATEWAY_OPENAI_FILES_H_
#define SLIPWAY_SERVICES_GATEWAY_OPENAI_FILES_H_

#include <string>

#include "absl/functional/any_invocable.h"
#include "common/status/status.h"
#include "common/time/clock.h"
#include "services/gateway/openai/request.h"
#include "services/gateway/relay/inner_call.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway::gateway::openai {

/// /v1/files: the registry's datasets of one file and a purpose. Bytes stream through, up and down,
/// a piece at a time. Any thread.
class Files {
 public:
  /// Both outlive this.
  Files(InnerCalls& calls, const Clock& clock) : calls_(calls), clock_(clock) {}

  void Create(const RequestPtr& request);
  void List(const RequestPtr& request);
  void Retrieve(const RequestPtr& request);
  void Content(const RequestPtr& request);
  void Delete(const RequestPtr& request);

  /// Hands the dataset on, or answers for whoever asks that there is no such file.
  using Found = absl::AnyInvocable<void(const registry::v1::Dataset&)>;
  void Find(const RequestPtr& request, const std::string& id, Found found);

 private:
  InnerCalls& calls_;
  const Clock& clock_;
};

}  // namespace slipway::gateway::openai

#endif  // SLIPWAY_SERVICES_GATEWAY_OPENAI_FILES_H_
