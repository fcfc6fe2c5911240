#include "tests/support/internal_matrix.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/time/time.h"
#include "common/grpc/client.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "gtest/gtest.h"
#include "slipway/options/v1/options.pb.h"

namespace slipway {
namespace {

// A stream that was let in may last for ever; this long it may take to be turned away.
constexpr absl::Duration kPatience = absl::Seconds(20);

// Calls one method with an empty message, whatever its kind: on the wire they are all streams.
class Caller {
 public:
  explicit Caller(std::shared_ptr<grpc::Channel> channel) : stub_(std::move(channel)) {}

  grpc::StatusCode Call(const std::string& method, const std::vector<std::string>& tokens) {
    grpc::ClientContext context;
    for (const std::string& token : tokens) context.AddMetadata(kTokenMetadata, token);
    context.set_deadline(absl::ToChronoTime(Clock::Real().Now() + kPatience));
    grpc::CompletionQueue queue;
    auto call = stub_.PrepareCall(&context, method, &queue);
    bool ok = false;
    const auto wait = [&] {
      void* tag = nullptr;
      queue.Next(&tag, &ok);
      return ok;
    };
    call->StartCall(nullptr);
    wait();
    const grpc::Slice nothing;
    call->WriteLast(grpc::ByteBuffer(&nothing, 1), grpc::WriteOptions(), nullptr);
    wait();
    // Whoever gets an answer was let in; the rest of a stream does not matter.
    grpc::ByteBuffer answer;
    call->Read(&answer, nullptr);
    const bool let_in = wait();
    if (let_in) context.TryCancel();
    grpc::Status status;
    call->Finish(&status, nullptr);
    wait();
    queue.Shutdown();
    for (void* tag = nullptr; queue.Next(&tag, &ok);) {
    }
    return let_in ? grpc::StatusCode::OK : status.error_code();
  }

 private:
  grpc::GenericStub stub_;
};

std::vector<ServiceId> AllowedCallers(const google::protobuf::MethodDescriptor& method,
                                      const std::vector<MethodPolicy>& policies) {
  for (const MethodPolicy& policy : policies) {
    if (policy.method == method.name()) return policy.callers;
  }
  std::vector<ServiceId> callers;
  for (const int caller : method.options().GetExtension(slipway::options::v1::internal).callers()) {
    callers.push_back(static_cast<ServiceId>(caller));
  }
  return callers;
}

ServiceId AnotherThan(ServiceId service) {
  return service == ServiceId::kRegistry ? ServiceId::kTraining : ServiceId::kRegistry;
}

}  // namespace

std::vector<std::string> InternalMatrixFailures(const MatrixService& service,
                                                const TestTrust& trust) {
  const auto* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindServiceByName(service.name);
  if (descriptor == nullptr) return {fmt::format("no service {} is linked in", service.name)};
  auto channel = OpenChannel({.address = service.address});
  if (!channel.ok()) return {std::string(channel.status().message())};
  Caller caller(*channel);
  std::vector<std::string> failures;
  const TestTrust strangers;

  for (int i = 0; i < descriptor->method_count(); ++i) {
    const auto* method = descriptor->method(i);
    const std::string path = fmt::format("/{}/{}", service.name, method->name());
    const std::vector<ServiceId> allowed = AllowedCallers(*method, service.policies);
    if (allowed.empty()) {
      failures.push_back(fmt::format("{} declares no callers", path));
      continue;
    }
    const auto expect = [&](std::string_view who, const std::vector<std::string>& tokens,
                            std::optional<grpc::StatusCode> expected) {
      const grpc::StatusCode code = caller.Call(path, tokens);
      const bool good = expected ? code == *expected
                                 : code != grpc::StatusCode::UNAUTHENTICATED &&
                                       code != grpc::StatusCode::PERMISSION_DENIED &&
                                       code != grpc::StatusCode::UNAVAILABLE;
      if (!good) {
        failures.push_back(fmt::format("{} {} got code {}", path, who, static_cast<int>(code)));
      }
    };

    const Principal someone = TestTrust::AnyPrincipal(allowed.front());
    const std::string good = trust.Token(someone, service.self);
    constexpr auto kNobody = grpc::StatusCode::UNAUTHENTICATED;
    expect("without a token", {}, kNobody);
    expect("with an empty token", {""}, kNobody);
    expect("with garbage", {"garbage"}, kNobody);
    expect("with half a token", {good.substr(0, good.size() / 2)}, kNobody);
    expect("with an expired token", {trust.ExpiredToken(someone, service.self)}, kNobody);
    expect("with a token for another", {trust.Token(someone, AnotherThan(service.self))}, kNobody);
    expect("with a stranger's token", {strangers.Token(someone, service.self)}, kNobody);
    expect("with two tokens", {good, good}, kNobody);

    for (const ServiceId from : {ServiceId::kGateway, ServiceId::kTraining, ServiceId::kTrainer,
                                 ServiceId::kController, ServiceId::kWorker}) {
      const bool may = std::find(allowed.begin(), allowed.end(), from) != allowed.end();
      expect(fmt::format("from {}", ServiceName(from)),
             {trust.Token(TestTrust::AnyPrincipal(from), service.self)},
             may ? std::nullopt : std::optional(grpc::StatusCode::PERMISSION_DENIED));
    }
  }
  return failures;
}

void ExpectInternalMatrix(const MatrixService& service, const TestTrust& trust) {
  for (const std::string& failure : InternalMatrixFailures(service, trust)) {
    ADD_FAILURE() << failure;
  }
}

}  // namespace slipway
