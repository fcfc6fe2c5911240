#ifndef SLIPWAY_TESTS_INTEGRATION_GRPC_TEST_CONTROLLER_H_
#define SLIPWAY_TESTS_INTEGRATION_GRPC_TEST_CONTROLLER_H_

#include <functional>
#include <memory>
#include <string>

#include "common/grpc/edge.h"
#include "common/grpc/service.h"
#include "common/log/log.h"
#include "common/metrics/metrics.h"
#include "common/status/status.h"
#include "gtest/gtest.h"
#include "tests/integration/grpc/any_server.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace grpc {
class Channel;
}

namespace slipway {

inline constexpr char kControllerService[] = "slipway.controller.v1.ControllerService";

/// What the tests let a handler do.
using TestHandler = std::function<absl::Status(const CallContext&)>;

/// A ControllerService whose every method passes `edge` and runs `handler`; GetDeployment then
/// answers with the request's name. `edge` may be null: then it has none, which is the mistake
/// that the matrix must find.
std::unique_ptr<grpc::Service> MakeTestController(ServiceEdge* edge, TestHandler handler);

/// The same service for a ServiceListener; its handlers run on threads of its own.
class ListenedController {
 public:
  ListenedController(std::unique_ptr<ServiceEdge> edge, TestHandler handler);
  Service& service() { return service_; }

 private:
  template <class Request, class Response>
  absl::Status Pass(const CallContext& call, const Request& request, Response& response);
  template <class Request, class Response>
  void Add(std::string_view method);
  void WatchRoutes(std::shared_ptr<ServiceCall> call);

  const TestHandler handler_;
  WorkPool pool_{/*threads=*/2, /*max_waiting=*/1000};
  Service service_;
};

/// A server with one of these behind a Unix socket, its log in a file, and a way to call it.
class ControllerFixture : public ::testing::Test {
 protected:
  explicit ControllerFixture(Library library = Library::kGrpc);
  ~ControllerFixture() override;

  /// What handlers do from now on; returns OK until set.
  void Handle(TestHandler handler) { handler_ = std::move(handler); }

  struct CallResult {
    absl::Status status;
    std::string name;  // of the answer
  };
  struct CallSpec {
    std::string token{};
    std::string request_id = "req-1";
    absl::Duration timeout = absl::Seconds(20);  // infinite: none is sent
  };
  CallResult Get(const CallSpec& spec);
  /// As the gateway, for tenant acme.
  CallResult Get() { return Get({.token = token_}); }
  absl::Status Watch(const CallSpec& spec);

  std::string LogText() const;

  const TempDir dir_;
  const TestTrust trust_;
  const std::string token_ =
      trust_.Token(TestTrust::AnyPrincipal(ServiceId::kGateway), ServiceId::kController);
  const std::unique_ptr<TokenVerifier> verifier_ = trust_.Verifier(ServiceId::kController);
  Metrics metrics_{"controller"};
  TestHandler handler_;
  std::unique_ptr<ServiceEdge> edge_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<ListenedController> listened_;
  std::unique_ptr<AnyServer> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_INTEGRATION_GRPC_TEST_CONTROLLER_H_
