#include "services/training/trainer/grpc_attempt_host.h"

#include <algorithm>
#include <fstream>
#include <functional>
#include <utility>
#include <vector>

#include "common/blob/blob_cache.h"
#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/log/log.h"
#include "common/names/names.h"
#include "fmt/format.h"
#include "grpcpp/grpcpp.h"
#include "slipway/registry/v1/registry.grpc.pb.h"
#include "slipway/training/v1/training.grpc.pb.h"

namespace slipway::trainer {
namespace {

using registry::v1::RegistryService;
using training::v1::AttemptService;

constexpr size_t kPieceBytes = 1 << 20;
constexpr size_t kMaxTokenBytes = 16 << 10;
constexpr size_t kMaxWaitingEvents = 1000;
constexpr absl::Duration kReportTimeout = absl::Seconds(2);
constexpr absl::Duration kReportAgainAfter = absl::Seconds(1);
constexpr absl::Duration kVerdictTimeout = absl::Seconds(60);
constexpr absl::Duration kTransferTimeout = absl::Minutes(30);
constexpr absl::Duration kFirstPause = absl::Milliseconds(200);
constexpr absl::Duration kLastPause = absl::Seconds(5);

// The peer may be back soon.
bool IsPassing(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

// SHA-256 of a file, 64 hex digits, and its size.
absl::StatusOr<std::pair<std::string, int64_t>> Measure(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::NotFoundError(fmt::format("{} cannot be opened", path));
  Sha256 hash;
  int64_t size = 0;
  std::vector<char> piece(kPieceBytes);
  while (file.read(piece.data(), std::ssize(piece)) || file.gcount() > 0) {
    hash.Update({piece.data(), static_cast<size_t>(file.gcount())});
    size += file.gcount();
  }
  if (!file.eof()) return absl::DataLossError(fmt::format("{} cannot be read", path));
  return std::pair(hash.FinishHex(), size);
}

class RegistryBlobs final : public BlobSource {
 public:
  RegistryBlobs(const std::shared_ptr<grpc::Channel>& registry, const Clock& clock)
      : registry_(RegistryService::NewStub(registry)), clock_(clock) {}

  absl::Status Download(const BlobName& name, const std::string& token,
                        absl::FunctionRef<absl::Status(std::string_view)> sink) override {
    grpc::ClientContext context;
    PrepareContext(context, {.token = token, .deadline = clock_.Now() + kTransferTimeout});
    registry::v1::DownloadBlobRequest request;
    request.set_name(name.ToString());
    const auto reader = registry_->DownloadBlob(&context, request);
    absl::Status taken;
    for (google::api::HttpBody piece; taken.ok() && reader->Read(&piece);) {
      taken = sink(piece.data());
    }
    if (!taken.ok()) context.TryCancel();
    const absl::Status finished = FromGrpcStatus(reader->Finish());
    return taken.ok() ? finished : taken;
  }

 private:
  const std::unique_ptr<RegistryService::Stub> registry_;
  const Clock& clock_;
};

}  // namespace

class GrpcAttemptHost::Impl {
 public:
  Impl(GrpcAttemptHostOptions options, std::string token, std::string tenant,
       std::shared_ptr<grpc::Channel> registry, std::shared_ptr<grpc::Channel> training,
       std::unique_ptr<RegistryBlobs> blobs, BlobCache cache, const Clock& clock)
      : attempt_(std::move(options.attempt)),
        patience_(options.patience),
        token_(std::move(token)),
        tenant_(std::move(tenant)),
        registry_(RegistryService::NewStub(std::move(registry))),
        training_(AttemptService::NewStub(std::move(training))),
        blobs_(std::move(blobs)),
        cache_(std::move(cache)),
        clock_(clock) {}

  std::vector<std::string> ListFiles() const {
    std::vector<std::string> files;
    for (const registry::v1::File& file : attempt_.dataset().files()) files.push_back(file.path());
    return files;
  }

  absl::StatusOr<std::string> FetchFile(const std::string& path) {
    return Fetch(attempt_.dataset().name(), attempt_.dataset().files(), path);
  }

  absl::StatusOr<std::string> FetchBaseFile(const std::string& path) {
    return Fetch(attempt_.base().name(), attempt_.base().artifact().files(), path);
  }

  absl::StatusOr<bool> Report(training::v1::Event event) {
    event.set_attempt(attempt_.attempt());
    waiting_.push_back(std::move(event));
    if (waiting_.size() > kMaxWaitingEvents) waiting_.erase(waiting_.begin());
    if (clock_.Monotonic() < report_again_) return false;
    training::v1::ReportEventsRequest request;
    request.set_job(attempt_.job());
    request.set_attempt(attempt_.attempt());
    for (const training::v1::Event& waiting : waiting_) *request.add_events() = waiting;
    training::v1::ReportEventsResponse response;
    const absl::Status status = Call(kReportTimeout, [&](grpc::ClientContext& context) {
      return training_->ReportEvents(&context, request, &response);
    });
    if (IsPassing(status)) {
      // They wait for the next event.
      report_again_ = clock_.Monotonic() + kReportAgainAfter;
      return status;
    }
    waiting_.clear();
    RETURN_IF_ERROR(status);
    return response.stop();
  }

  absl::StatusOr<registry::v1::File> StoreFile(const std::string& path,
                                               const std::string& local_path) {
    ASSIGN_OR_RETURN(const auto measured, Measure(local_path));
    registry::v1::File stored;
    stored.set_path(path);
    stored.set_digest("sha256:" + measured.first);
    stored.set_size_bytes(measured.second);
    RETURN_IF_ERROR(Patiently([&] { return Upload(stored.digest(), local_path); }));
    return stored;
  }

  absl::Status Complete(training::v1::CompleteAttemptRequest result) {
    result.set_job(attempt_.job());
    result.set_attempt(attempt_.attempt());
    google::protobuf::Empty empty;
    return Patiently([&] {
      return Call(kVerdictTimeout, [&](grpc::ClientContext& context) {
        return training_->CompleteAttempt(&context, result, &empty);
      });
    });
  }

  absl::Status Fail(const std::string& error, bool retryable) {
    training::v1::FailAttemptRequest request;
    request.set_job(attempt_.job());
    request.set_attempt(attempt_.attempt());
    request.set_error(error);
    request.set_retryable(retryable);
    google::protobuf::Empty empty;
    return Patiently([&] {
      return Call(kVerdictTimeout, [&](grpc::ClientContext& context) {
        return training_->FailAttempt(&context, request, &empty);
      });
    });
  }

 private:
  template <class Method>
  absl::Status Call(absl::Duration timeout, const Method& method) {
    grpc::ClientContext context;
    Prepare(context, timeout);
    return FromGrpcStatus(method(context));
  }
  void Prepare(grpc::ClientContext& context, absl::Duration timeout) const {
    CallOptions options;
    options.token = token_;
    options.deadline = clock_.Now() + timeout;
    PrepareContext(context, options);
  }

  // Tries until it works, fails for good, or patience is over.
  absl::Status Patiently(const std::function<absl::Status()>& call) {
    const absl::Duration give_up = clock_.Monotonic() + patience_;
    absl::Duration pause = kFirstPause;
    while (true) {
      const absl::Status status = call();
      if (!IsPassing(status) || clock_.Monotonic() + pause > give_up) return status;
      Log(Severity::kWarning, "peer_waited_for", {{"job", attempt_.job()}, {"error", status}});
      clock_.SleepFor(pause);
      pause = std::min(2 * pause, kLastPause);
    }
  }

  absl::StatusOr<std::string> Fetch(
      const std::string& name, const google::protobuf::RepeatedPtrField<registry::v1::File>& files,
      const std::string& path) {
    for (const registry::v1::File& file : files) {
      if (file.path() == path) return FetchBlob(file);
    }
    return absl::InvalidArgumentError(fmt::format("{} has no file {}", name, path));
  }

  absl::StatusOr<std::string> FetchBlob(const registry::v1::File& file) {
    ASSIGN_OR_RETURN(const Digest digest, Digest::Parse("digest", file.digest()));
    std::string path;
    RETURN_IF_ERROR(Patiently([&]() -> absl::Status {
      ASSIGN_OR_RETURN(path, cache_.Fetch({tenant_, digest}, file.size_bytes(), token_,
                                          /*cancelled=*/[] { return false; }));
      return absl::OkStatus();
    }));
    return path;
  }

  absl::Status Upload(const std::string& digest, const std::string& local_path) {
    std::ifstream file(local_path, std::ios::binary);
    if (!file) return absl::NotFoundError(fmt::format("{} cannot be opened", local_path));
    grpc::ClientContext context;
    Prepare(context, kTransferTimeout);
    registry::v1::Blob blob;
    const auto writer = registry_->UploadBlob(&context, &blob);
    registry::v1::UploadBlobRequest request;
    request.set_parent(TenantName{tenant_}.ToString());
    request.set_digest(digest);
    std::string piece(kPieceBytes, '\0');
    // The first message says what comes, also where nothing does. A write that fails ends it, and
    // Finish() says why.
    bool open = writer->Write(request);
    request.Clear();
    while (open && (file.read(piece.data(), std::ssize(piece)) || file.gcount() > 0)) {
      request.mutable_content()->set_data(piece.data(), static_cast<size_t>(file.gcount()));
      open = writer->Write(request);
    }
    writer->WritesDone();
    return FromGrpcStatus(writer->Finish());
  }

  const training::v1::Attempt attempt_;
  const absl::Duration patience_;
  const std::string token_;
  const std::string tenant_;
  const std::unique_ptr<RegistryService::Stub> registry_;
  const std::unique_ptr<AttemptService::Stub> training_;
  const std::unique_ptr<RegistryBlobs> blobs_;
  BlobCache cache_;
  const Clock& clock_;
  std::vector<training::v1::Event> waiting_;  // not told yet
  absl::Duration report_again_ = -absl::InfiniteDuration();
};

absl::StatusOr<std::unique_ptr<GrpcAttemptHost>> GrpcAttemptHost::Create(
    GrpcAttemptHostOptions options, const Clock& clock) {
  const training::v1::Attempt& attempt = options.attempt;
  ASSIGN_OR_RETURN(const JobName job, JobName::Parse("job", attempt.job()));
  if (attempt.cache_dir().empty()) return InvalidField("cache_dir", "is missing");
  ASSIGN_OR_RETURN(std::string token, ReadFile(attempt.token_file(), kMaxTokenBytes));
  token.erase(token.find_last_not_of(" \r\n\t") + 1);
  const auto open = [&](const std::string& field, const std::string& address) {
    ChannelOptions channel;
    channel.address = address;
    channel.tls = options.tls;
    auto opened = OpenChannel(channel);
    return opened.ok() ? opened : Annotate(opened.status(), field);
  };
  ASSIGN_OR_RETURN(auto registry, open("registry_address", attempt.registry_address()));
  ASSIGN_OR_RETURN(auto training, open("training_address", attempt.training_address()));
  auto blobs = std::make_unique<RegistryBlobs>(registry, clock);
  ASSIGN_OR_RETURN(BlobCache cache, BlobCache::Open({.folder = attempt.cache_dir(),
                                                     .max_bytes = attempt.max_cache_bytes()},
                                                    *blobs));
  return std::unique_ptr<GrpcAttemptHost>(new GrpcAttemptHost(
      std::make_unique<Impl>(std::move(options), std::move(token), job.tenant, std::move(registry),
                             std::move(training), std::move(blobs), std::move(cache), clock)));
}

GrpcAttemptHost::GrpcAttemptHost(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GrpcAttemptHost::~GrpcAttemptHost() = default;

absl::StatusOr<std::vector<std::string>> GrpcAttemptHost::ListFiles() { return impl_->ListFiles(); }
absl::StatusOr<std::string> GrpcAttemptHost::FetchFile(const std::string& path) {
  return impl_->FetchFile(path);
}
absl::StatusOr<std::string> GrpcAttemptHost::FetchBaseFile(const std::string& path) {
  return impl_->FetchBaseFile(path);
}
absl::StatusOr<bool> GrpcAttemptHost::Report(training::v1::Event event) {
  return impl_->Report(std::move(event));
}
absl::StatusOr<registry::v1::File> GrpcAttemptHost::StoreFile(const std::string& path,
                                                              const std::string& local_path) {
  return impl_->StoreFile(path, local_path);
}
absl::Status GrpcAttemptHost::Complete(training::v1::CompleteAttemptRequest result) {
  return impl_->Complete(std::move(result));
}
absl::Status GrpcAttemptHost::Fail(const std::string& error, bool retryable) {
  return impl_->Fail(error, retryable);
}

}  // namespace slipway::trainer
