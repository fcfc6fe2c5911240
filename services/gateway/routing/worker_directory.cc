#include "services/gateway/routing/worker_directory.h"

#include <utility>

#include "common/grpc/address.h"
#include "common/grpc/client.h"
#include "common/http/channel/channel.h"
#include "common/log/log.h"
#include "fmt/format.h"

namespace slipway::gateway {
namespace {

class ChannelCall final : public WorkerCall {
 public:
  explicit ChannelCall(std::shared_ptr<http::grpc::ClientCall> call) : call_(std::move(call)) {}
  void Cancel() override { call_->Cancel(); }

 private:
  const std::shared_ptr<http::grpc::ClientCall> call_;
};

class ChannelWorker final : public Worker {
 public:
  ChannelWorker(std::string address, std::unique_ptr<http::grpc::Channel> channel)
      : Worker(std::move(address)), channel_(std::move(channel)) {}

  std::shared_ptr<WorkerCall> Call(std::string_view method, const Options& options,
                                   absl::Cord request, Done done) override {
    const std::string path = fmt::format("/inference.GRPCInferenceService/{}", method);
    http::Headers metadata;
    if (!options.token.empty()) metadata.Add(kTokenMetadata, options.token);
    if (IsRequestId(options.request_id)) metadata.Add(kRequestIdMetadata, options.request_id);
    if (options.trace != nullptr) {
      metadata.Add(tracing::kTraceparent, options.trace->Traceparent());
      if (!options.trace->state.empty()) metadata.Add(tracing::kTracestate, options.trace->state);
    }
    return std::make_shared<ChannelCall>(
        channel_->Start({.method = path,
                         .metadata = std::move(metadata),
                         .deadline = options.deadline,
                         .message = std::move(request)},
                        [done = std::move(done)](http::grpc::Outcome outcome) mutable {
                          done(Translate(std::move(outcome)));
                        }));
  }

  bool reachable() const override { return channel_->reachable(); }

 private:
  static Outcome Translate(http::grpc::Outcome outcome) {
    // Where a worker was looked for is nothing that callers should read.
    if (absl::IsUnavailable(outcome.status) && !outcome.from_server) {
      outcome.status = absl::UnavailableError("the model's worker cannot be reached; try again");
    }
    return {std::move(outcome.status), std::move(outcome.message), outcome.never_sent,
            outcome.from_server};
  }

  const std::unique_ptr<http::grpc::Channel> channel_;
};

http::grpc::ChannelOptions OptionsFor(const Address& address, const TlsFiles& tls) {
  http::grpc::ChannelOptions options;
  options.unix_path = address.unix_path;
  options.host = address.host;
  if (options.host.starts_with('[') && options.host.ends_with(']')) {
    options.host = options.host.substr(1, options.host.size() - 2);
  }
  options.port = address.port;
  options.tls = {
      .certificate = tls.certificate_file, .key = tls.key_file, .authorities = tls.ca_file};
  return options;
}

}  // namespace

WorkerDirectory::WorkerDirectory(TlsFiles tls, http::IoThreads& threads)
    : tls_(std::move(tls)), threads_(threads) {}

std::shared_ptr<Worker> WorkerDirectory::Get(const std::string& address) {
  MutexLock lock(mutex_);
  std::erase_if(workers_, [](const auto& known) { return known.second.expired(); });
  if (const auto known = workers_.find(address); known != workers_.end()) {
    if (auto worker = known->second.lock()) return worker;
  }
  auto channel = OpenChannel(address);
  if (!channel.ok()) {
    Log(Severity::kError, "worker_not_dialled",
        {{"address", address}, {"error", channel.status()}});
    return nullptr;
  }
  auto worker = std::make_shared<ChannelWorker>(address, *std::move(channel));
  workers_[address] = worker;
  return worker;
}

absl::StatusOr<std::unique_ptr<http::grpc::Channel>> WorkerDirectory::OpenChannel(
    const std::string& text) const {
  ASSIGN_OR_RETURN(const Address address, Address::Parse(text));
  RETURN_IF_ERROR(CheckTransport(address, tls_));
  return http::grpc::Channel::Open(OptionsFor(address, tls_), threads_);
}

}  // namespace slipway::gateway
