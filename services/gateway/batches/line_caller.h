#ifndef SLIPWAY_SERVICES_GATEWAY_BATCHES_LINE_CALLER_H_
#define SLIPWAY_SERVICES_GATEWAY_BATCHES_LINE_CALLER_H_

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "common/status/status.h"
#include "slipway/gateway/v1/batches.pb.h"

namespace slipway::gateway {

/// The call of one line, on its way. Answer and Settle come one after the other from one thread.
class LineCall {
 public:
  struct Answer {
    int http_code = 0;
    std::string body = {};  ///< JSON.
    enum class Retry {
      kNo,
      kRefused,  ///< Nothing has run: there is no room, budget or worker now.
      kBroken,   ///< It was begun, and whoever ran it was lost.
    } retry = Retry::kNo;
  };

  virtual ~LineCall() = default;
  /// Ends it soon. Any thread.
  virtual void Cancel() = 0;
  /// Once it is done. An answer with the status 200 is in the ledger when this returns.
  virtual Answer Take() = 0;
  /// The answer is kept: its row in the ledger is as good as one whose caller has his answer.
  virtual void Settle() = 0;
};

/// Makes the calls of batches as if callers had made them: by the same limits, routes and ledger.
/// Any thread.
class LineCaller {
 public:
  virtual ~LineCaller() = default;

  /// May its lines be called? Errors: kUnauthenticated (its key is gone for good), kNotFound (there
  /// is no such model); others pass.
  virtual absl::Status Check(const v1::Batch& batch) = 0;
  /// `done` runs once, on any thread, perhaps before this returns; it must not block.
  virtual std::shared_ptr<LineCall> Start(const v1::Batch& batch, std::string request_id,
                                          std::string body, absl::AnyInvocable<void()> done) = 0;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_SERVICES_GATEWAY_BATCHES_LINE_CALLER_H_
