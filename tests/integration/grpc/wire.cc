#include "tests/integration/grpc/wire.h"

#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "common/grpc/status.h"
#include "common/time/clock.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"

namespace slipway {

absl::Status StreamBytes(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                         const std::string& request,
                         const std::function<void(const std::string&)>& told) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(Clock::Real().Now() + absl::Seconds(20)));
  grpc::CompletionQueue queue;
  const auto wait = [&] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  auto call = stub.PrepareCall(&context, method, &queue);
  call->StartCall(nullptr);
  wait();
  const grpc::Slice slice(request);
  call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
  wait();
  for (grpc::ByteBuffer answer; call->Read(&answer, nullptr), wait();) {
    std::vector<grpc::Slice> slices;
    answer.Dump(&slices);
    std::string bytes;
    for (const grpc::Slice& piece : slices) {
      bytes.append(reinterpret_cast<const char*>(piece.begin()), piece.size());
    }
    told(bytes);
  }
  grpc::Status status;
  call->Finish(&status, nullptr);
  wait();
  queue.Shutdown();
  while (wait()) {
  }
  return FromGrpcStatus(status);
}

absl::StatusOr<std::string> CallWithBytes(const std::shared_ptr<grpc::Channel>& channel,
                                          const std::string& method, const std::string& request) {
  std::optional<std::string> first;
  const absl::Status status = StreamBytes(channel, method, request, [&](const std::string& bytes) {
    if (!first) first = bytes;
  });
  if (!first) return status;
  return *first;
}

std::string HealthOf(const std::shared_ptr<grpc::Channel>& channel) {
  // An empty HealthCheckRequest; HealthCheckResponse{status = 1}.
  const auto answer = CallWithBytes(channel, "/grpc.health.v1.Health/Check", "");
  if (!answer.ok()) return answer.status().ToString();
  if (*answer == "\x08\x01") return "SERVING";
  if (*answer == "\x08\x02") return "NOT_SERVING";
  return "bytes " + *answer;
}

}  // namespace slipway
