#include "services/training/local_launcher.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <system_error>
#include <utility>

#include "common/files/files.h"
#include "common/log/log.h"
#include "fmt/format.h"
#include "google/protobuf/util/json_util.h"
#include "services/training/clean_text.h"
#include "services/training/spec/trainer_exit.h"

namespace slipway::training {
namespace {

namespace fs = std::filesystem;

// What a program needs of its surroundings. Everything else, secrets above all, stays here.
constexpr const char* kPassedOn[] = {"PATH",
                                     "HOME",
                                     "TMPDIR",
                                     "LANG",
                                     "TZ",
                                     "LD_LIBRARY_PATH",
                                     "CUDA_VISIBLE_DEVICES",
                                     "OMP_NUM_THREADS",
                                     "ASAN_OPTIONS",
                                     "TSAN_OPTIONS",
                                     "UBSAN_OPTIONS"};

constexpr int64_t kTailBytes = 8192;
constexpr size_t kTailLines = 20;

class LocalTrainer final : public Trainer {
 public:
  explicit LocalTrainer(std::unique_ptr<Process> process) : process_(std::move(process)) {}

  void Stop() override {
    if (const absl::Status status = process_->Signal(SIGTERM); !status.ok()) {
      Log(Severity::kWarning, "trainer_not_stopped", {{"pid", process_->pid()}, {"error", status}});
    }
  }
  void Kill() override { process_->Kill(); }

 private:
  const std::unique_ptr<Process> process_;
};

// The last lines of a file; none where it cannot be read.
std::vector<std::string> TailOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const int64_t size = file.tellg();
  file.seekg(std::max<int64_t>(0, size - kTailBytes));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (!line.empty()) lines.push_back(CleanText(line, kTailBytes));
  }
  // The first line of a part begins anywhere.
  if (size > kTailBytes && !lines.empty()) lines.erase(lines.begin());
  if (lines.size() > kTailLines) lines.erase(lines.begin(), lines.end() - kTailLines);
  return lines;
}

TrainerEnd EndOf(const ProcessExit& exit, const std::string& log_file) {
  TrainerEnd end;
  end.last_lines = TailOf(log_file);
  if (exit.ok()) return end;
  end.reason = "the trainer " + exit.ToString();
  end.retryable = exit.signal != 0 || exit.code != kTrainerBadAttempt;
  end.interrupted = exit.signal == 0 && exit.code == kTrainerInterrupted;
  if (end.interrupted) end.reason = "the trainer was stopped";
  if (exit.signal == 0 && exit.code == kTrainerPeerLost) {
    end.reason = "one of the trainer's processes was lost";
  }
  return end;
}

absl::Status MakeFolders(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  return error ? FromErrno(error.value(), "make", path) : absl::OkStatus();
}

absl::Status Remove(const fs::path& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return error ? FromErrno(error.value(), "remove", path.string()) : absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalLauncher>> LocalLauncher::Create(ProcessLauncher& processes,
                                                                     TokenIssuer& tokens,
                                                                     LocalLauncherOptions options) {
  std::unique_ptr<LocalLauncher> launcher(new LocalLauncher(processes, tokens, std::move(options)));
  RETURN_IF_ERROR(MakeFolders(launcher->JobsFolder()));
  RETURN_IF_ERROR(MakeFolders(launcher->options_.data_dir + "/cache"));
  return launcher;
}

LocalLauncher::LocalLauncher(ProcessLauncher& processes, TokenIssuer& tokens,
                             LocalLauncherOptions options)
    : processes_(processes), tokens_(tokens), options_(std::move(options)) {}

std::string LocalLauncher::JobsFolder() const { return options_.data_dir + "/jobs"; }

std::string LocalLauncher::FolderOf(const JobName& job) const {
  return fmt::format("{}/{}/{}", JobsFolder(), job.tenant, job.id);
}

absl::StatusOr<std::unique_ptr<Trainer>> LocalLauncher::Launch(v1::Attempt attempt,
                                                               const std::string& key_id,
                                                               absl::Duration lifetime,
                                                               OnEnd on_end) {
  ASSIGN_OR_RETURN(const JobName job, JobName::Parse("job", attempt.job()));
  Principal principal;
  principal.tenant = job.tenant;
  principal.key_id = key_id;
  principal.role = Role::kDeveloper;
  principal.caller = ServiceId::kTrainer;
  principal.scopes = {attempt.job(), attempt.dataset().name()};
  if (attempt.has_base()) principal.scopes.push_back(attempt.base().name());
  ASSIGN_OR_RETURN(const std::string token,
                   tokens_.IssueLasting(principal, std::min(lifetime, kMaxTokenLifetime)));

  const std::string folder = FolderOf(job);
  const std::string stem = fmt::format("{}/attempt-{}", folder, attempt.attempt());
  const std::string token_file = folder + "/token";
  attempt.set_checkpoint_dir(folder + "/checkpoints");
  attempt.set_cache_dir(options_.data_dir + "/cache");
  attempt.set_max_cache_bytes(options_.max_cache_bytes);
  attempt.set_registry_address(options_.registry_address);
  attempt.set_training_address(options_.training_address);
  attempt.set_token_file(token_file);
  std::string json;
  if (!google::protobuf::util::MessageToJsonString(attempt, &json).ok()) {
    return absl::InternalError(fmt::format("{} cannot be written as JSON", attempt.job()));
  }
  RETURN_IF_ERROR(MakeFolders(attempt.checkpoint_dir()));
  RETURN_IF_ERROR(WriteFileAtomically(token_file, token, 0600));
  RETURN_IF_ERROR(WriteFileAtomically(stem + ".json", json, 0600));

  ProcessSpec spec;
  spec.program = options_.program;
  spec.args = {"--attempt", stem + ".json"};
  if (const TlsFiles& tls = options_.tls; tls.configured()) {
    spec.args.insert(spec.args.end(), {"--certificate-file", tls.certificate_file, "--key-file",
                                       tls.key_file, "--ca-file", tls.ca_file});
  }
  spec.inherit_env = false;
  for (const char* name : kPassedOn) {
    if (const char* value = std::getenv(name); value != nullptr) spec.env[name] = value;
  }
  // The trainer would set it and begin anew.
  spec.env.emplace("OMP_WAIT_POLICY", "PASSIVE");
  spec.log_file = stem + ".log";
  spec.working_dir = folder;
  ASSIGN_OR_RETURN(
      auto process,
      processes_.Launch(spec, [on_end = std::move(on_end), log_file = spec.log_file](
                                  const ProcessExit& exit) { on_end(EndOf(exit, log_file)); }));
  return std::make_unique<LocalTrainer>(std::move(process));
}

absl::Status LocalLauncher::Discard(const JobName& job) { return Remove(FolderOf(job)); }

absl::Status LocalLauncher::DiscardAllBut(const std::vector<JobName>& jobs) {
  std::set<fs::path> kept;
  for (const JobName& job : jobs) kept.insert(FolderOf(job));
  std::vector<fs::path> gone;
  std::error_code error;
  for (const auto& tenant : fs::directory_iterator(JobsFolder(), error)) {
    std::error_code not_a_folder;
    for (const auto& job : fs::directory_iterator(tenant.path(), not_a_folder)) {
      if (!kept.contains(job.path())) gone.push_back(job.path());
    }
  }
  if (error) return FromErrno(error.value(), "list", JobsFolder());
  for (const fs::path& path : gone) RETURN_IF_ERROR(Remove(path));
  return absl::OkStatus();
}

}  // namespace slipway::training
