#include "services/training/trainer/gang.h"

#include <torch/torch.h>

// The wheel's library has Gloo, and its headers show it on request. Gloo's own are Debian's.
#define USE_C10D_GLOO
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "common/log/log.h"
#include "common/process/local_process_launcher.h"
#include "fmt/format.h"
#include "services/training/spec/trainer_exit.h"
#include "services/training/trainer/shared_sums.h"

namespace slipway::trainer {
namespace {

namespace fs = std::filesystem;

// Longer than any job may take.
constexpr absl::Duration kForEver = absl::Hours(24 * 365);

std::chrono::milliseconds ToMillis(absl::Duration duration) {
  return std::chrono::milliseconds(absl::ToInt64Milliseconds(duration));
}

}  // namespace

class Gang::Group {
 public:
  // Throws where the others do not come in time.
  explicit Group(const GangOptions& options) {
    // Before the meeting, after which nobody needs its path.
    if (!options.shared_memory.empty()) {
      shared_.emplace(SharedMemory::Open(options.shared_memory), options.rank, options.processes);
    }
    const std::chrono::milliseconds patience = ToMillis(options.patience);
    auto store = c10::make_intrusive<c10d::FileStore>(options.meeting_file, options.processes);
    store->setTimeout(patience);
    auto settings = c10d::ProcessGroupGloo::Options::create(patience);
    settings->devices = {c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")};
    gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(store, options.rank, options.processes,
                                                        std::move(settings));
  }

  void Share(at::Tensor tensor, absl::Duration patience) {
    if (shared_.has_value() && tensor.is_cpu()) return shared_->Share(tensor, patience);
    std::vector<at::Tensor> tensors = {std::move(tensor)};
    c10d::BroadcastOptions options;
    options.timeout = ToMillis(patience);
    gloo_->broadcast(tensors, options)->wait();
  }
  void StartSum(at::Tensor tensor, absl::Duration patience) {
    std::vector<at::Tensor> tensors = {std::move(tensor)};
    if (shared_.has_value() && tensors[0].is_cpu()) {
      shared_sums_.push_back(std::move(tensors[0]));
      shared_patience_ = patience;
      return;
    }
    c10d::AllreduceOptions options;
    options.timeout = ToMillis(patience);
    sums_.push_back(gloo_->allreduce(tensors, options));
  }
  void FinishSums() {
    if (!shared_sums_.empty()) shared_->Sum(std::exchange(shared_sums_, {}), shared_patience_);
    for (const auto& sum : std::exchange(sums_, {})) sum->wait();
  }

 private:
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
  std::vector<c10::intrusive_ptr<c10d::Work>> sums_;
  std::optional<SharedSums> shared_;
  std::vector<at::Tensor> shared_sums_;
  absl::Duration shared_patience_;
};

class Gang::Followers {
 public:
  explicit Followers(std::string folder) : folder_(std::move(folder)) {}
  ~Followers() {
    ending_ = true;
    processes_.reset();
    std::error_code left;
    fs::remove_all(folder_, left);
  }

  std::string meeting_file() const { return folder_ + "/meeting"; }

  absl::Status Start(const GangOptions& options, const std::vector<std::string>& args) {
    std::error_code error;
    fs::remove_all(folder_, error);
    fs::create_directories(fs::path(folder_).parent_path(), error);
    if (::mkdir(folder_.c_str(), 0700) != 0) return FromErrno(errno, "make", folder_);
    ProcessSpec spec;
    spec.program = fs::read_symlink("/proc/self/exe", error).string();
    if (error) return FromErrno(error.value(), "read", "/proc/self/exe");
    for (int rank = 1; rank < options.processes; ++rank) {
      spec.args = args;
      spec.args.insert(spec.args.end(), {"--rank", std::to_string(rank), "--meeting-file",
                                         meeting_file(), "--shared-memory", options.shared_memory});
      const auto started = processes_->Launch(spec, [this, rank](const ProcessExit& exit) {
        // One that says nothing has found what the leader finds, too.
        if (ending_ || exit.ok()) return;
        Log(Severity::kError, "trainer_process_lost",
            {{"rank", rank}, {"reason", exit.ToString()}});
        std::_Exit(training::kTrainerPeerLost);
      });
      RETURN_IF_ERROR(started.status());
    }
    return absl::OkStatus();
  }

 private:
  const std::string folder_;
  std::atomic<bool> ending_ = false;
  std::unique_ptr<LocalProcessLauncher> processes_ = std::make_unique<LocalProcessLauncher>();
};

Gang::Gang(const GangOptions& options) : options_(options) {}
Gang::~Gang() = default;

absl::StatusOr<std::unique_ptr<Gang>> Gang::Join(const GangOptions& options) {
  std::unique_ptr<Gang> gang(new Gang(options));
  try {
    gang->group_ = std::make_unique<Group>(options);
  } catch (const std::exception& error) {
    return absl::UnavailableError(fmt::format(
        "the {} processes of the job did not come together: {}", options.processes, error.what()));
  }
  return gang;
}

absl::StatusOr<std::unique_ptr<Gang>> Gang::Lead(GangOptions options, const std::string& folder,
                                                 const std::vector<std::string>& args) {
  std::unique_ptr<SharedMemory> memory;
  try {
    memory = SharedMemory::Make();
  } catch (const std::exception& error) {
    return absl::ResourceExhaustedError(error.what());
  }
  options.shared_memory = memory->path();
  auto followers = std::make_unique<Followers>(fmt::format("{}/gang-{}", folder, ::getpid()));
  RETURN_IF_ERROR(followers->Start(options, args));
  options.meeting_file = followers->meeting_file();
  ASSIGN_OR_RETURN(auto gang, Join(options));
  gang->followers_ = std::move(followers);
  return gang;
}

void Gang::Meet() {
  group_->StartSum(at::zeros({1}), kForEver);
  group_->FinishSums();
}
void Gang::Share(at::Tensor tensor) {
  group_->Share(std::move(tensor), rank() == 0 ? options_.patience : kForEver);
}
void Gang::StartSum(at::Tensor tensor) { group_->StartSum(std::move(tensor), options_.patience); }
void Gang::FinishSums() { group_->FinishSums(); }

}  // namespace slipway::trainer
