#ifndef SLIPWAY_TESTS_INTEGRATION_HTTP_ECHO_SERVICE_H_
#define SLIPWAY_TESTS_INTEGRATION_HTTP_ECHO_SERVICE_H_

#include <functional>
#include <string>

#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "grpcpp/generic/async_generic_service.h"

namespace slipway::http {

/// A service of one message each way for grpc++'s server. Methods: /test.Echo/Say answers what it
/// gets, Fail with the status that a test sets, Size with as many bytes as the message says,
/// Metadata with the value of the name in the message, Deadline with the milliseconds left, and
/// Hold not before it is cancelled. Any thread.
class EchoService : public ::grpc::CallbackGenericService {
 public:
  ::grpc::ServerGenericBidiReactor* CreateReactor(
      ::grpc::GenericCallbackServerContext* context) override;

  void FailWith(absl::Status status);
  /// Waits until so many calls of Hold are there, or were cancelled.
  void WaitForHeld(int count);
  void WaitForCancelled(int count);

 private:
  class Reactor;

  Mutex mutex_;
  CondVar changed_;
  absl::Status failure_ GUARDED_BY(mutex_);
  int held_ GUARDED_BY(mutex_) = 0;
  int cancelled_ GUARDED_BY(mutex_) = 0;
};

}  // namespace slipway::http

#endif  // SLIPWAY_TESTS_INTEGRATION_HTTP_ECHO_SERVICE_H_
