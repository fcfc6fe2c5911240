#ifndef SLIPWAY_TESTS_SUPPORT_GATEWAY_FAKE_PLATFORM_H_
#define SLIPWAY_TESTS_SUPPORT_GATEWAY_FAKE_PLATFORM_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/grpc/server.h"
#include "common/identity/token.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "google/protobuf/message.h"
#include "inference/open_inference.pb.h"
#include "slipway/controller/v1/controller.pb.h"
#include "tests/support/test_trust.h"

namespace slipway::gateway {

/// Routes of the deployment alone ("tenants/acme/deployments/digits"), to one version on one
/// worker.
controller::v1::RouteTable SingleRoute(const std::string& deployment,
                                       const std::string& model_version, const std::string& worker);

/// Registry, training and controller on one real gRPC server, made from their descriptors: each
/// method checks the token as the real ones do, and answers with an empty message whose `name` is
/// the request's, unless a test says otherwise. Any thread.
class FakePlatform {
 public:
  /// One call that arrived.
  struct Call {
    std::string method;  // "RegistryService/GetModel"
    Principal principal;
    std::string request_id;
    std::string request;  // of a stream: the first message; serialized
    uint64_t messages = 0;
    uint64_t content_bytes = 0;  // of google.api.HttpBody
  };
  /// What a method answers: one message, or several for a stream, and how it ends.
  struct Reply {
    std::vector<std::shared_ptr<google::protobuf::Message>> messages;
    absl::Status status;
    /// A stream that does not end by itself.
    bool stays_open = false;
  };
  using Handler = std::function<Reply(const google::protobuf::Message& request)>;

  /// `routes`: what the controller streams until SetRoutes.
  FakePlatform(const TestTrust& trust, const std::string& socket,
               const controller::v1::RouteTable& routes = {});
  ~FakePlatform();

  std::string address() const;

  /// `method` as in Call. For an upload the handler sees the first message at the end.
  void On(const std::string& method, Handler handler);

  /// What the controller streams from now on.
  void SetRoutes(const controller::v1::RouteTable& table);

  /// Calls so far, but for those that the gateway makes by itself.
  std::vector<Call> calls() const;
  /// Waits until a stream of that method is open (or gone, with `open` = false).
  void WaitForStream(const std::string& method, bool open);

  void Stop();
  void StartAgain();

 private:
  class Service;
  class Listener;
  class Reactor;

  const std::string socket_;
  std::unique_ptr<Service> service_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<GrpcServer> server_;
};

/// A worker on a real gRPC server: answers each prediction with its inputs as outputs, unless a
/// test says otherwise; and tells of one model, by the name and version that it is asked for.
class FakeWorker {
 public:
  using Handler = std::function<absl::Status(const inference::ModelInferRequest&,
                                             inference::ModelInferResponse&)>;

  FakeWorker(const TestTrust& trust, const std::string& socket);
  ~FakeWorker();

  std::string address() const;
  void OnInfer(Handler handler);
  /// From now on a call is answered only when it has been cancelled.
  void HoldInferUntilCancelled(bool hold = true);
  std::vector<inference::ModelInferRequest> requests() const;
  /// For long runs: requests() stays empty.
  void KeepNoRequests();
  /// The request ids that came with them.
  std::vector<std::string> request_ids() const;
  std::vector<std::string> traceparents() const;
  int cancelled() const;

 private:
  class Service;
  std::unique_ptr<Service> service_;
  std::unique_ptr<GrpcServer> server_;
};

/// inputs -> outputs, and compute micros.
void EchoTensors(const inference::ModelInferRequest& request,
                 inference::ModelInferResponse& response);

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_SUPPORT_GATEWAY_FAKE_PLATFORM_H_
