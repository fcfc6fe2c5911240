// Services on a ServiceListener, called by gRPC's own client. What holds for a GrpcServer as well
// is in server_test.cc, edge_test.cc and tls_test.cc.

#include "common/grpc/service.h"

#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/service_listener.h"
#include "common/grpc/status.h"
#include "common/sync/mutex.h"
#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "slipway/controller/v1/controller.grpc.pb.h"
#include "tests/integration/grpc/test_controller.h"
#include "tests/integration/grpc/wire.h"

namespace slipway {
namespace {

namespace v1 = slipway::controller::v1;
using ::testing::HasSubstr;

constexpr size_t kMaxMessage = 100'000;

// GetDeployment answers the request's name at once; DeleteDeployment waits for the test, on a
// thread; CreateDeployment is the test's own to end.
class TestService {
 public:
  explicit TestService(std::unique_ptr<ServiceEdge> edge) : service(std::move(edge)) {
    service.AddQuick("GetDeployment", *this, &TestService::Get);
    service.AddBlocking("DeleteDeployment", pool, *this, &TestService::Delete);
    service.Add("CreateDeployment", [this](std::unique_ptr<ServiceCall> call) {
      MutexLock lock(mutex_);
      held_ = std::move(call);
      changed_.SignalAll();
    });
  }

  std::unique_ptr<ServiceCall> TakeHeld() {
    MutexLock lock(mutex_);
    while (held_ == nullptr) changed_.Wait(mutex_);
    return std::move(held_);
  }

  std::latch deleting{1};
  std::latch go_on{1};
  WorkPool pool{/*threads=*/1, /*max_waiting=*/1};
  Service service;

 private:
  absl::Status Get(const CallContext&, const v1::GetDeploymentRequest& request,
                   v1::Deployment& answer) {
    answer.set_name(request.name());
    if (request.name() == "grow") answer.set_name(std::string(kMaxMessage, 'x'));
    return absl::OkStatus();
  }
  absl::Status Delete(const CallContext&, const v1::DeleteDeploymentRequest&,
                      google::protobuf::Empty&) {
    deleting.count_down();
    go_on.wait();
    return absl::OkStatus();
  }

  Mutex mutex_;
  CondVar changed_;
  std::unique_ptr<ServiceCall> held_ GUARDED_BY(mutex_);
};

class ServiceTest : public ::testing::Test {
 protected:
  ServiceTest() {
    auto edge = ServiceEdge::Create(kControllerService, *verifier_, metrics_, Clock::Real());
    EXPECT_TRUE(edge.ok()) << edge.status();
    served_ = std::make_unique<TestService>(*std::move(edge));
    auto listener = ServiceListener::Start(
        {.address = "unix:" + (dir_ / "a.sock"), .max_message_bytes = kMaxMessage},
        {&served_->service});
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    channel_ = *OpenChannel({.address = listener_->address()});
    stub_ = v1::ControllerService::NewStub(channel_);
  }

  void Prepare(grpc::ClientContext& context, absl::Duration timeout = absl::Seconds(30)) const {
    PrepareContext(context, {.token = token_, .deadline = Clock::Real().Now() + timeout});
  }
  absl::StatusOr<std::string> Get(const std::string& name, bool compress = false) const {
    grpc::ClientContext context;
    Prepare(context);
    if (compress) context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
    v1::GetDeploymentRequest request;
    request.set_name(name);
    v1::Deployment answer;
    RETURN_IF_ERROR(FromGrpcStatus(stub_->GetDeployment(&context, request, &answer)));
    return answer.name();
  }
  absl::Status Delete() const {
    grpc::ClientContext context;
    Prepare(context);
    google::protobuf::Empty answer;
    return FromGrpcStatus(stub_->DeleteDeployment(&context, {}, &answer));
  }
  absl::Status Create(grpc::ClientContext& context) const {
    v1::Deployment answer;
    return FromGrpcStatus(stub_->CreateDeployment(&context, {}, &answer));
  }

  const TempDir dir_;
  const TestTrust trust_;
  const std::string token_ =
      trust_.Token(TestTrust::AnyPrincipal(ServiceId::kGateway), ServiceId::kController);
  const std::unique_ptr<TokenVerifier> verifier_ = trust_.Verifier(ServiceId::kController);
  Metrics metrics_{"controller"};
  std::unique_ptr<TestService> served_;
  std::unique_ptr<ServiceListener> listener_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::ControllerService::Stub> stub_;
};

TEST_F(ServiceTest, AHandlerThatBlocksHoldsUpNobodyElse) {
  absl::Status deleted = absl::UnknownError("not finished");
  std::jthread caller([&] { deleted = Delete(); });
  served_->deleting.wait();
  // On the same connection.
  for (int i = 0; i < 100; ++i) EXPECT_EQ(*Get("d"), "d");
  served_->go_on.count_down();
  caller.join();
  EXPECT_TRUE(deleted.ok()) << deleted;
}

TEST_F(ServiceTest, RefusesWhatAPoolHasNoRoomFor) {
  std::jthread first([&] { EXPECT_TRUE(Delete().ok()); });
  served_->deleting.wait();
  // One may wait; of two more, one is refused at once.
  std::latch refused(1);
  const auto again = [&] {
    const absl::Status status = Delete();
    if (!status.ok()) {
      EXPECT_TRUE(absl::IsUnavailable(status)) << status;
      refused.count_down();
    }
  };
  std::jthread second(again);
  std::jthread third(again);
  refused.wait();
  served_->go_on.count_down();
}

TEST_F(ServiceTest, TakesCompressedMessages) {
  const std::string text(50'000, 'z');
  EXPECT_EQ(*Get(text, /*compress=*/true), text);
}

TEST_F(ServiceTest, RefusesMessagesOverTheLimitInBothDirections) {
  EXPECT_EQ(Get(std::string(kMaxMessage - 10, 'x'))->size(), kMaxMessage - 10);
  const absl::Status in = Get(std::string(kMaxMessage, 'x')).status();
  EXPECT_TRUE(absl::IsResourceExhausted(in)) << in;
  const absl::Status unpacked = Get(std::string(10 * kMaxMessage, 'x'), /*compress=*/true).status();
  EXPECT_TRUE(absl::IsResourceExhausted(unpacked)) << unpacked;
  const absl::Status out = Get("grow").status();
  EXPECT_TRUE(absl::IsResourceExhausted(out)) << out;
  EXPECT_EQ(*Get("d"), "d");
}

TEST_F(ServiceTest, ACallThatItsCallerCancelsIsGone) {
  grpc::ClientContext context;
  Prepare(context);
  absl::Status status;
  std::jthread caller([&] { status = Create(context); });
  const std::unique_ptr<ServiceCall> call = served_->TakeHeld();
  EXPECT_FALSE(call->gone());
  context.TryCancel();
  while (!call->gone()) std::this_thread::yield();
  call->Finish(absl::CancelledError("the caller has gone"));
  caller.join();
  EXPECT_TRUE(absl::IsCancelled(status)) << status;
  EXPECT_THAT(metrics_.Text(), HasSubstr("slipway_controller_grpc_calls_total{code=\"CANCELLED\""));
}

TEST_F(ServiceTest, ACallWhoseDeadlineHasPassedIsGone) {
  grpc::ClientContext context;
  Prepare(context, absl::Milliseconds(50));
  absl::Status status;
  std::jthread caller([&] { status = Create(context); });
  const std::unique_ptr<ServiceCall> call = served_->TakeHeld();
  while (!call->gone()) std::this_thread::yield();
  call->Finish(absl::DeadlineExceededError("too late"));
  caller.join();
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST_F(ServiceTest, SaysThatThereIsNoSuchMethod) {
  for (const std::string& method :
       {std::string("/slipway.controller.v1.ControllerService/ListDeployments"),
        std::string("/slipway.controller.v1.NoService/Get"),
        std::string("/grpc.health.v1.Health/Nothing")}) {
    const absl::Status status = CallWithBytes(channel_, method, "").status();
    EXPECT_TRUE(absl::IsUnimplemented(status)) << method << status;
  }
}

TEST_F(ServiceTest, TellsWhoeverWatchesTheHealthAtOnce) {
  struct Seen {
    Mutex mutex;
    CondVar changed;
    std::vector<std::string> states GUARDED_BY(mutex);
    void Await(const std::vector<std::string>& expected) {
      MutexLock lock(mutex);
      while (states != expected) changed.Wait(mutex);
    }
  } seen;
  std::jthread watcher([&] {
    const absl::Status end =
        StreamBytes(channel_, "/grpc.health.v1.Health/Watch", "", [&](const std::string& bytes) {
          MutexLock lock(seen.mutex);
          seen.states.push_back(bytes);
          seen.changed.SignalAll();
        });
    EXPECT_TRUE(absl::IsUnavailable(end)) << end;
  });
  seen.Await({"\x08\x02"});
  listener_->SetServing(true);
  seen.Await({"\x08\x02", "\x08\x01"});
  listener_->Drain(absl::Seconds(20));
  seen.Await({"\x08\x02", "\x08\x01", "\x08\x02"});
}

}  // namespace
}  // namespace slipway
