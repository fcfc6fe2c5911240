#ifndef SLIPWAY_TESTS_INTEGRATION_GATEWAY_GENERIC_CALL_H_
#define SLIPWAY_TESTS_INTEGRATION_GATEWAY_GENERIC_CALL_H_

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/time/clock.h"
#include "google/protobuf/message.h"

namespace slipway::gateway {

inline std::shared_ptr<grpc::Channel> DialDoor(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetMaxReceiveMessageSize(-1);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// One call by its path, of any kind: messages out, messages in, a status.
class GenericCall {
 public:
  GenericCall(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
              const std::string& key, absl::Duration timeout = absl::Seconds(30))
      : stub_(channel) {
    if (!key.empty()) context.AddMetadata("authorization", "Bearer " + key);
    context.set_deadline(absl::ToChronoTime(Clock::Real().Now() + timeout));
    call_ = stub_.PrepareCall(&context, path, &queue_);
    call_->StartCall(nullptr);
    Wait();
  }
  ~GenericCall() {
    if (!finished_) {
      context.TryCancel();
      Finish();
    }
    queue_.Shutdown();
    void* tag;
    bool ok;
    while (queue_.Next(&tag, &ok)) {
    }
  }
  bool Write(const google::protobuf::Message& message) {
    const grpc::Slice slice(message.SerializeAsString());
    call_->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    return Wait();
  }
  void WritesDone() {
    call_->WritesDone(nullptr);
    Wait();
  }
  bool Read(google::protobuf::Message& message) {
    grpc::ByteBuffer buffer;
    call_->Read(&buffer, nullptr);
    if (!Wait()) return false;
    std::vector<grpc::Slice> slices;
    buffer.Dump(&slices).ok();
    std::string bytes;
    for (const grpc::Slice& slice : slices) {
      bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    return message.ParseFromString(bytes);
  }
  grpc::Status Finish() {
    grpc::Status status;
    call_->Finish(&status, nullptr);
    Wait();
    finished_ = true;
    return status;
  }

  grpc::ClientContext context;

 private:
  bool Wait() {
    void* tag;
    bool ok = false;
    queue_.Next(&tag, &ok);
    return ok;
  }
  grpc::CompletionQueue queue_;
  grpc::GenericStub stub_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  bool finished_ = false;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_INTEGRATION_GATEWAY_GENERIC_CALL_H_
