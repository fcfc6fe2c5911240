#include "tests/support/gateway/fake_platform.h"

#include <chrono>
#include <deque>
#include <set>
#include <utility>

#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "google/api/httpbody.pb.h"
#include "google/protobuf/descriptor.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/support/proto_buffer_reader.h"
#include "grpcpp/support/proto_buffer_writer.h"
#include "gtest/gtest.h"
#include "inference/open_inference.grpc.pb.h"

namespace slipway::gateway {
namespace {

namespace pb = google::protobuf;

std::unique_ptr<pb::Message> NewMessage(const pb::Descriptor& type) {
  return std::unique_ptr<pb::Message>(
      pb::MessageFactory::generated_factory()->GetPrototype(&type)->New());
}

bool Parse(grpc::ByteBuffer& buffer, pb::Message& message) {
  grpc::ProtoBufferReader reader(&buffer);
  return message.ParseFromZeroCopyStream(&reader);
}

grpc::ByteBuffer Serialize(const pb::Message& message) {
  const std::string bytes = message.SerializeAsString();
  const grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

std::string Metadata(const grpc::ServerContextBase& context, const char* key) {
  const auto found = context.client_metadata().find(key);
  return found == context.client_metadata().end()
             ? ""
             : std::string(found->second.data(), found->second.size());
}

// The request's name in an otherwise empty answer.
void CopyName(const pb::Message& request, pb::Message& answer) {
  const auto* to = answer.GetDescriptor()->FindFieldByName("name");
  if (to == nullptr) return;
  for (const char* field : {"name", "parent"}) {
    if (const auto* from = request.GetDescriptor()->FindFieldByName(field)) {
      answer.GetReflection()->SetString(&answer, to,
                                        request.GetReflection()->GetString(request, from));
      return;
    }
  }
}

uint64_t ContentBytes(const pb::Message& request) {
  const auto* content = request.GetDescriptor()->FindFieldByName("content");
  if (content == nullptr || content->message_type() == nullptr) return 0;
  const auto& body = static_cast<const google::api::HttpBody&>(
      request.GetReflection()->GetMessage(request, content));
  return body.data().size();
}

}  // namespace

// What stays through a restart of the server.
class FakePlatform::Service {
 public:
  explicit Service(const TestTrust& trust) {
    for (const auto& [package, id] :
         {std::pair("registry", ServiceId::kRegistry), std::pair("training", ServiceId::kTraining),
          std::pair("controller", ServiceId::kController)}) {
      verifiers_[package] = trust.Verifier(id);
    }
  }

  absl::StatusOr<std::shared_ptr<const Principal>> Verify(const std::string& package,
                                                          const std::string& token) {
    return verifiers_.at(package)->Verify(token);
  }

  Mutex mutex;
  CondVar changed;
  std::map<std::string, FakePlatform::Handler> handlers GUARDED_BY(mutex);
  std::vector<Call> calls GUARDED_BY(mutex);
  std::multiset<std::string> streams GUARDED_BY(mutex);
  controller::v1::RouteTable routes GUARDED_BY(mutex);
  std::set<Reactor*> watchers GUARDED_BY(mutex);

 private:
  std::map<std::string, std::unique_ptr<TokenVerifier>> verifiers_;
};

class FakePlatform::Reactor : public grpc::ServerGenericBidiReactor {
 public:
  Reactor(Service& service, grpc::GenericCallbackServerContext* context) : service_(service) {
    // "/slipway.registry.v1.RegistryService/GetModel"
    const std::string& full = context->method();
    const size_t slash = full.rfind('/');
    const std::string service_name = full.substr(1, slash - 1);
    const auto* descriptor = pb::DescriptorPool::generated_pool()->FindServiceByName(service_name);
    method_ =
        descriptor == nullptr ? nullptr : descriptor->FindMethodByName(full.substr(slash + 1));
    if (method_ == nullptr) {
      FinishOnce(grpc::Status(grpc::StatusCode::UNIMPLEMENTED, full));
      return;
    }
    name_ = descriptor->name() + "/" + method_->name();
    const std::string package = service_name.substr(8, service_name.find('.', 8) - 8);
    const auto principal = service_.Verify(package, Metadata(*context, kTokenMetadata));
    if (!principal.ok()) {
      FinishOnce(ToGrpcStatus(principal.status()));
      return;
    }
    call_.method = name_;
    call_.principal = **principal;
    call_.request_id = Metadata(*context, kRequestIdMetadata);
    {
      MutexLock lock(service_.mutex);
      service_.streams.insert(name_);
      service_.changed.SignalAll();
    }
    entered_ = true;
    StartRead(&received_);
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      auto request = NewMessage(*method_->input_type());
      if (!Parse(received_, *request)) {
        FinishOnce(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "cannot be parsed"));
        return;
      }
      call_.content_bytes += ContentBytes(*request);
      if (call_.messages++ == 0) {
        call_.request = request->SerializeAsString();
        request_ = std::move(request);
      }
      if (method_->client_streaming()) {
        StartRead(&received_);
        return;
      }
    }
    if (request_ == nullptr) {
      FinishOnce(grpc::Status(grpc::StatusCode::INVALID_ARGUMENT, "no message"));
      return;
    }
    Answer();
  }

  void OnWriteDone(bool ok) override {
    bool next = false;
    {
      MutexLock lock(service_.mutex);
      writing_ = false;
      if (!ok) waiting_.clear();
      next = !waiting_.empty();
    }
    if (next) {
      WriteNext();
    } else if (!stays_open_) {
      FinishOnce(ToGrpcStatus(status_));
    }
  }

  void OnCancel() override { FinishOnce(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled")); }

  void OnDone() override {
    {
      MutexLock lock(service_.mutex);
      service_.watchers.erase(this);
      if (entered_) service_.streams.erase(service_.streams.find(name_));
      service_.changed.SignalAll();
    }
    delete this;
  }

  // With the service's mutex.
  void PushLocked(const pb::Message& message) { waiting_.push_back(Serialize(message)); }

  void WriteNext() {
    {
      MutexLock lock(service_.mutex);
      if (writing_ || finished_ || waiting_.empty()) return;
      writing_ = true;
      sent_ = std::move(waiting_.front());
      waiting_.pop_front();
    }
    StartWrite(&sent_);
  }

 private:
  void Answer() {
    if (name_ == "ControllerService/WatchRoutes") {
      {
        MutexLock lock(service_.mutex);
        stays_open_ = true;
        service_.watchers.insert(this);
        PushLocked(service_.routes);
      }
      WriteNext();
      return;
    }
    FakePlatform::Handler handler;
    {
      MutexLock lock(service_.mutex);
      const bool by_clock = method_->name() == "ListUsageEvents" ||
                            name_ == "ControllerService/ReportTraffic" ||
                            name_.ends_with("/PurgeTenant");
      if (!by_clock) service_.calls.push_back(call_);
      if (const auto found = service_.handlers.find(name_); found != service_.handlers.end()) {
        handler = found->second;
      }
    }
    Reply reply;
    if (handler) {
      reply = handler(*request_);
    } else {
      auto answer = NewMessage(*method_->output_type());
      CopyName(*request_, *answer);
      reply.messages.push_back(std::move(answer));
    }
    status_ = reply.status;
    stays_open_ = reply.stays_open;
    if (!status_.ok() && !method_->server_streaming()) reply.messages.clear();
    {
      MutexLock lock(service_.mutex);
      for (const auto& message : reply.messages) PushLocked(*message);
    }
    if (reply.messages.empty() && !stays_open_) return FinishOnce(ToGrpcStatus(status_));
    WriteNext();
  }

  void FinishOnce(const grpc::Status& status) {
    {
      MutexLock lock(service_.mutex);
      if (std::exchange(finished_, true)) return;
    }
    Finish(status);
  }

  Service& service_;
  const pb::MethodDescriptor* method_ = nullptr;
  std::string name_;
  bool entered_ = false;
  Call call_;
  std::unique_ptr<pb::Message> request_;
  grpc::ByteBuffer received_;
  grpc::ByteBuffer sent_;
  absl::Status status_;
  std::atomic<bool> stays_open_ = false;
  std::deque<grpc::ByteBuffer> waiting_;
  bool writing_ = false;
  bool finished_ = false;
};

// gRPC takes a generic service for one server only.
class FakePlatform::Listener : public grpc::CallbackGenericService {
 public:
  explicit Listener(Service& service) : service_(service) {}

 private:
  grpc::ServerGenericBidiReactor* CreateReactor(
      grpc::GenericCallbackServerContext* context) override {
    return new Reactor(service_, context);
  }

  Service& service_;
};

FakePlatform::FakePlatform(const TestTrust& trust, const std::string& socket,
                           const controller::v1::RouteTable& routes)
    : socket_(socket), service_(std::make_unique<Service>(trust)) {
  SetRoutes(routes);
  StartAgain();
}

FakePlatform::~FakePlatform() { Stop(); }

void FakePlatform::StartAgain() {
  GrpcServerOptions options;
  options.address = "unix:" + socket_;
  listener_ = std::make_unique<Listener>(*service_);
  options.configure = [this](grpc::ServerBuilder& builder) {
    builder.RegisterCallbackGenericService(listener_.get());
  };
  auto server = GrpcServer::Start(options, {});
  ASSERT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  server_->SetServing(true);
}

void FakePlatform::Stop() { server_.reset(); }

std::string FakePlatform::address() const { return "unix:" + socket_; }

void FakePlatform::On(const std::string& method, Handler handler) {
  MutexLock lock(service_->mutex);
  service_->handlers[method] = std::move(handler);
}

void FakePlatform::SetRoutes(const controller::v1::RouteTable& table) {
  std::vector<Reactor*> watchers;
  {
    MutexLock lock(service_->mutex);
    service_->routes = table;
    for (Reactor* watcher : service_->watchers) {
      watcher->PushLocked(table);
      watchers.push_back(watcher);
    }
  }
  for (Reactor* watcher : watchers) watcher->WriteNext();
}

std::vector<FakePlatform::Call> FakePlatform::calls() const {
  MutexLock lock(service_->mutex);
  return service_->calls;
}

void FakePlatform::WaitForStream(const std::string& method, bool open) {
  MutexLock lock(service_->mutex);
  for (int i = 0; i < 200; ++i) {
    if ((service_->streams.count(method) > 0) == open) return;
    service_->changed.WaitFor(service_->mutex, std::chrono::milliseconds(100));
  }
  ADD_FAILURE() << method << (open ? " was not called" : " did not end");
}

// ---- Worker ------------------------------------------------------------------------------------

// Ends when it is cancelled, and holds no thread until then.
class HeldCall final : public grpc::ServerUnaryReactor {
 public:
  explicit HeldCall(std::atomic<int>& cancelled) : cancelled_(cancelled) {}
  void OnCancel() override {
    ++cancelled_;
    Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  std::atomic<int>& cancelled_;
};

class FakeWorker::Service : public inference::GRPCInferenceService::CallbackService {
 public:
  explicit Service(const TestTrust& trust) : verifier_(trust.Verifier(ServiceId::kWorker)) {}

  grpc::ServerUnaryReactor* ModelInfer(grpc::CallbackServerContext* context,
                                       const inference::ModelInferRequest* request,
                                       inference::ModelInferResponse* response) override {
    const auto principal = verifier_->Verify(Metadata(*context, kTokenMetadata));
    if (!principal.ok()) {
      auto* reactor = context->DefaultReactor();
      reactor->Finish(ToGrpcStatus(principal.status()));
      return reactor;
    }
    FakeWorker::Handler handler;
    {
      MutexLock lock(mutex);
      if (keep_requests) {
        requests.push_back(*request);
        request_ids.push_back(Metadata(*context, kRequestIdMetadata));
        traceparents.push_back(Metadata(*context, "traceparent"));
      }
      handler = infer;
    }
    absl::Status status;
    if (handler) {
      status = handler(*request, *response);
    } else {
      EchoTensors(*request, *response);
    }
    // Before DefaultReactor(): a call has one reactor.
    if (hold_until_cancelled) return new HeldCall(cancelled);
    auto* reactor = context->DefaultReactor();
    if (context->IsCancelled()) ++cancelled;
    reactor->Finish(ToGrpcStatus(status));
    return reactor;
  }

  grpc::ServerUnaryReactor* ModelConfig(grpc::CallbackServerContext* context,
                                        const inference::ModelConfigRequest* request,
                                        inference::ModelConfigResponse* response) override {
    inference::ModelConfig& config = *response->mutable_config();
    config.set_name(request->name());
    config.set_max_batch_size(8);
    inference::ModelInput& input = *config.add_input();
    input.set_name("x");
    input.set_data_type(inference::TYPE_FP32);
    input.add_dims(2);
    return Answer(*context);
  }

  grpc::ServerUnaryReactor* ModelStatistics(grpc::CallbackServerContext* context,
                                            const inference::ModelStatisticsRequest* request,
                                            inference::ModelStatisticsResponse* response) override {
    inference::ModelStatistics& model = *response->add_model_stats();
    model.set_name(request->name().empty() ? "tenants/acme/deployments/digits" : request->name());
    model.set_version(request->version().empty() ? "3" : request->version());
    model.set_inference_count(10);
    model.set_last_inference(1'800'000'000'000);
    model.mutable_inference_stats()->mutable_success()->set_count(10);
    model.mutable_inference_stats()->mutable_success()->set_ns(5'000'000'000);
    auto& batch = *model.add_batch_stats();
    batch.set_batch_size(4);
    batch.mutable_compute_infer()->set_count(2);
    return Answer(*context);
  }

  Mutex mutex;
  std::vector<inference::ModelInferRequest> requests;
  std::vector<std::string> request_ids;
  std::vector<std::string> traceparents;
  Handler infer;
  bool keep_requests = true;
  std::atomic<bool> hold_until_cancelled = false;
  std::atomic<int> cancelled = 0;

 private:
  grpc::ServerUnaryReactor* Answer(grpc::CallbackServerContext& context) {
    auto* reactor = context.DefaultReactor();
    reactor->Finish(ToGrpcStatus(verifier_->Verify(Metadata(context, kTokenMetadata)).status()));
    return reactor;
  }

  std::unique_ptr<TokenVerifier> verifier_;
};

void EchoTensors(const inference::ModelInferRequest& request,
                 inference::ModelInferResponse& response) {
  response.set_model_name(request.model_name());
  response.set_model_version(request.model_version());
  response.set_id(request.id());
  for (int i = 0; i < request.inputs_size(); ++i) {
    auto& output = *response.add_outputs();
    output.set_name(request.inputs(i).name());
    output.set_datatype(request.inputs(i).datatype());
    *output.mutable_shape() = request.inputs(i).shape();
    response.add_raw_output_contents(request.raw_input_contents(i));
  }
  (*response.mutable_parameters())["slipway_compute_micros"].set_int64_param(123);
}

FakeWorker::FakeWorker(const TestTrust& trust, const std::string& socket)
    : service_(std::make_unique<Service>(trust)) {
  GrpcServerOptions options;
  options.address = "unix:" + socket;
  auto server = GrpcServer::Start(options, {service_.get()});
  EXPECT_TRUE(server.ok()) << server.status();
  server_ = *std::move(server);
  server_->SetServing(true);
}

FakeWorker::~FakeWorker() = default;

std::string FakeWorker::address() const { return server_->address(); }

void FakeWorker::OnInfer(Handler handler) {
  MutexLock lock(service_->mutex);
  service_->infer = std::move(handler);
}

void FakeWorker::KeepNoRequests() {
  MutexLock lock(service_->mutex);
  service_->keep_requests = false;
}

void FakeWorker::HoldInferUntilCancelled(bool hold) { service_->hold_until_cancelled = hold; }

std::vector<inference::ModelInferRequest> FakeWorker::requests() const {
  MutexLock lock(service_->mutex);
  return service_->requests;
}

std::vector<std::string> FakeWorker::traceparents() const {
  MutexLock lock(service_->mutex);
  return service_->traceparents;
}

std::vector<std::string> FakeWorker::request_ids() const {
  MutexLock lock(service_->mutex);
  return service_->request_ids;
}

int FakeWorker::cancelled() const { return service_->cancelled; }

controller::v1::RouteTable SingleRoute(const std::string& deployment,
                                       const std::string& model_version,
                                       const std::string& worker) {
  controller::v1::RouteTable table;
  table.set_generation(1);
  auto& route = *table.add_routes();
  route.set_deployment(deployment);
  auto& target = *route.add_targets();
  target.set_model_version(model_version);
  target.set_weight(1);
  target.add_workers(worker);
  return table;
}

}  // namespace slipway::gateway
