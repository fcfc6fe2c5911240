#include "tests/integration/http/echo_service.h"

#include <chrono>
#include <utility>
#include <vector>

#include "common/grpc/status.h"
#include "common/time/clock.h"

namespace slipway::http {

class EchoService::Reactor : public ::grpc::ServerGenericBidiReactor {
 public:
  Reactor(EchoService& service, ::grpc::GenericCallbackServerContext& context)
      : service_(service), context_(context), method_(context.method()) {
    method_.erase(0, std::string("/test.Echo/").size());
    StartRead(&message_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) return Finish(::grpc::Status(::grpc::StatusCode::INTERNAL, "no request"));
    std::vector<::grpc::Slice> slices;
    message_.Dump(&slices);
    std::string text;
    for (const ::grpc::Slice& slice : slices) {
      text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
    }
    if (method_ == "Fail") {
      MutexLock lock(service_.mutex_);
      return Finish(ToGrpcStatus(service_.failure_));
    }
    if (method_ == "Hold") {
      MutexLock lock(service_.mutex_);
      ++service_.held_;
      service_.changed_.SignalAll();
      return;  // OnCancel ends it
    }
    if (method_ == "Size") {
      text = std::string(std::stoul(text), 'a');
    } else if (method_ == "Metadata") {
      const auto found = context_.client_metadata().find(text);
      text = found == context_.client_metadata().end()
                 ? ""
                 : std::string(found->second.data(), found->second.size());
    } else if (method_ == "Deadline") {
      const absl::Duration left = absl::FromChrono(context_.deadline()) - Clock::Real().Now();
      text = std::to_string(absl::ToInt64Milliseconds(left));
    } else if (method_ != "Say") {
      return Finish(::grpc::Status(::grpc::StatusCode::UNIMPLEMENTED, "no such method"));
    }
    const ::grpc::Slice slice(text);
    message_ = ::grpc::ByteBuffer(&slice, 1);
    StartWriteAndFinish(&message_, ::grpc::WriteOptions(), ::grpc::Status::OK);
  }
  void OnCancel() override {
    if (method_ != "Hold") return;
    Finish(::grpc::Status::CANCELLED);
    MutexLock lock(service_.mutex_);
    ++service_.cancelled_;
    service_.changed_.SignalAll();
  }
  void OnDone() override { delete this; }

 private:
  EchoService& service_;
  ::grpc::GenericCallbackServerContext& context_;
  std::string method_;
  ::grpc::ByteBuffer message_;
};

::grpc::ServerGenericBidiReactor* EchoService::CreateReactor(
    ::grpc::GenericCallbackServerContext* context) {
  return new Reactor(*this, *context);
}

void EchoService::FailWith(absl::Status status) {
  MutexLock lock(mutex_);
  failure_ = std::move(status);
}

void EchoService::WaitForHeld(int count) {
  MutexLock lock(mutex_);
  while (held_ < count) changed_.Wait(mutex_);
}

void EchoService::WaitForCancelled(int count) {
  MutexLock lock(mutex_);
  while (cancelled_ < count) changed_.Wait(mutex_);
}

}  // namespace slipway::http
