// slipway-trainer: one attempt of one training job. Training launches it with --attempt; with
// --data and --output it trains from a folder into a folder, without a platform.

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "CLI/CLI.hpp"
#include "common/files/files.h"
#include "common/log/log.h"
#include "common/process/memory.h"
#include "common/process/shutdown.h"
#include "common/time/clock.h"
#include "google/protobuf/util/json_util.h"
#include "services/training/spec/spec.h"
#include "services/training/spec/trainer_exit.h"
#include "services/training/trainer/folder_attempt_host.h"
#include "services/training/trainer/gang.h"
#include "services/training/trainer/grpc_attempt_host.h"
#include "services/training/trainer/torch_learner.h"
#include "services/training/trainer/training_run.h"

namespace slipway::trainer {
namespace {

constexpr uint64_t kMaxAttemptBytes = 16 << 20;

// Threads of OpenMP that wait shall sleep: they spin by default, which halves the speed of
// everybody beside a busy neighbour. The library reads this when it is loaded, which has happened
// by now: hence once more.
void SleepWhereOpenMpWouldSpin(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr) return;
  ::setenv("OMP_WAIT_POLICY", "PASSIVE", 1);
  ::execv("/proc/self/exe", argv);
  // Where that fails, training is slower and nothing else.
}

absl::StatusOr<training::v1::Attempt> ReadAttempt(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxAttemptBytes));
  training::v1::Attempt attempt;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &attempt);
  if (!parsed.ok()) return absl::InvalidArgumentError(path + ": " + parsed.ToString());
  if (attempt.checkpoint_dir().empty()) {
    return absl::InvalidArgumentError(path + ": checkpoint_dir is missing");
  }
  return attempt;
}

// Trying again would not help.
bool IsTheJobsOwn(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsFailedPrecondition(status);
}

struct Arguments {
  std::string attempt_file;
  std::string data_dir;  // empty: with the platform
  std::string base_dir;
  std::string output_dir;
  TlsFiles tls;
  GangOptions gang;
  std::vector<std::string> all;  // as they were given, for the processes of a gang
};

// Of a process that does not lead: it fetches files, and has nothing to say.
class SilentHost final : public AttemptHost {
 public:
  explicit SilentHost(std::unique_ptr<AttemptHost> host) : host_(std::move(host)) {}

  absl::StatusOr<std::vector<std::string>> ListFiles() override { return host_->ListFiles(); }
  absl::StatusOr<std::string> FetchFile(const std::string& path) override {
    return host_->FetchFile(path);
  }
  absl::StatusOr<std::string> FetchBaseFile(const std::string& path) override {
    return host_->FetchBaseFile(path);
  }
  absl::StatusOr<bool> Report(training::v1::Event) override { return false; }
  absl::StatusOr<registry::v1::File> StoreFile(const std::string&, const std::string&) override {
    return absl::InternalError("a process that does not lead stores nothing");
  }
  absl::Status Complete(training::v1::CompleteAttemptRequest) override { return absl::OkStatus(); }
  absl::Status Fail(const std::string&, bool) override { return absl::OkStatus(); }

 private:
  const std::unique_ptr<AttemptHost> host_;
};

// Null where this process works alone.
absl::StatusOr<std::unique_ptr<Gang>> FormGang(const Arguments& arguments,
                                               const std::string& folder, int processes) {
  if (processes <= 1) return nullptr;
  GangOptions options = arguments.gang;
  options.processes = processes;
  if (options.rank > 0) return Gang::Join(options);
  return Gang::Lead(options, folder, arguments.all);
}

absl::StatusOr<RunOutcome> Train(const training::v1::Attempt& attempt, const Arguments& arguments,
                                 AttemptHost& host, ShutdownSignal& shutdown) {
  TrainingRunOptions options;
  ASSIGN_OR_RETURN(options.spec, training::ParseSpec(attempt.spec()));
  options.dataset_digest = attempt.dataset().digest();
  options.checkpoint_dir = attempt.checkpoint_dir();
  options.rank = arguments.gang.rank;
  options.processes = attempt.processes() > 0
                          ? attempt.processes()
                          : std::max(1, options.spec.job.resources().processes());
  options.trial = attempt.trial();
  options.stop = [&shutdown] {
    return shutdown.WaitFor(absl::ZeroDuration()) ? StopRequest::kCheckpoint : StopRequest::kNone;
  };
  const training::Spec& spec = options.spec;
  const training::v1::LoopSpec& loop = spec.job.training();
  ASSIGN_OR_RETURN(std::unique_ptr<Gang> gang,
                   FormGang(arguments, options.checkpoint_dir, options.processes));
  const LearnerFactory make_learner = [&](nn::Network network) {
    return MakeTorchLearner(std::move(network), spec.loss, spec.optimizer,
                            {.device = spec.job.resources().device(),
                             .threads = spec.job.resources().threads(),
                             .seed = static_cast<uint64_t>(loop.seed()),
                             .clip_norm = loop.clip_norm(),
                             .clip_value = loop.clip_value(),
                             .l1 = loop.l1(),
                             .ema_decay = loop.ema_decay(),
                             .bfloat16 = loop.precision() == training::kBfloat16},
                            std::move(gang));
  };
  return RunTraining(options, host, make_learner, Clock::Real());
}

absl::StatusOr<std::unique_ptr<AttemptHost>> OpenHost(const Arguments& arguments,
                                                      const training::v1::Attempt& attempt) {
  if (!arguments.data_dir.empty()) {
    ASSIGN_OR_RETURN(auto host, FolderAttemptHost::Create(arguments.data_dir, arguments.base_dir,
                                                          arguments.output_dir));
    return std::make_unique<FolderAttemptHost>(std::move(host));
  }
  GrpcAttemptHostOptions options;
  options.attempt = attempt;
  options.tls = arguments.tls;
  return GrpcAttemptHost::Create(std::move(options), Clock::Real());
}

// Tells how it went, and says so by the exit code too.
int Conclude(const absl::StatusOr<RunOutcome>& outcome, const std::string& job, AttemptHost& host) {
  if (outcome.ok()) {
    Log(Severity::kInfo, "attempt_ended", {{"job", job}});
    return *outcome == RunOutcome::kInterrupted ? training::kTrainerInterrupted
                                                : training::kTrainerDone;
  }
  Log(Severity::kError, "attempt_failed", {{"job", job}, {"error", outcome.status()}});
  const absl::Status told =
      host.Fail(std::string(outcome.status().message()), !IsTheJobsOwn(outcome.status()));
  // Another attempt runs, or the job is gone: nobody waits for a verdict.
  if (told.ok() || absl::IsAborted(told) || absl::IsNotFound(told)) return training::kTrainerDone;
  Log(Severity::kError, "verdict_not_told", {{"job", job}, {"error", told}});
  return training::kTrainerUnavailable;
}

int Main(int argc, char** argv) {
  CLI::App app("Runs one attempt of a training job.");
  Arguments arguments;
  app.add_option("--attempt", arguments.attempt_file, "The attempt, as JSON")->required();
  auto* data =
      app.add_option("--data", arguments.data_dir, "Train from this folder, without a platform");
  auto* base =
      app.add_option("--base", arguments.base_dir, "The version that spec.base names: its files");
  auto* output = app.add_option("--output", arguments.output_dir, "Where the result then goes");
  data->needs(output);
  base->needs(data);
  output->needs(data);
  app.add_option("--certificate-file", arguments.tls.certificate_file, "For calls by mutual TLS");
  app.add_option("--key-file", arguments.tls.key_file, "For calls by mutual TLS");
  app.add_option("--ca-file", arguments.tls.ca_file, "For calls by mutual TLS");
  app.add_option("--rank", arguments.gang.rank, "Of a process that another one has started");
  app.add_option("--meeting-file", arguments.gang.meeting_file, "Where it finds the others");
  app.add_option("--shared-memory", arguments.gang.shared_memory, "What it shares with them");
  double patience = absl::ToDoubleSeconds(arguments.gang.patience);
  app.add_option("--patience", patience,
                 "Seconds that one process of a job may be behind the others (120)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : training::kTrainerBadAttempt;  // 0: --help
  }
  SleepWhereOpenMpWouldSpin(argv);
  arguments.gang.patience = absl::Seconds(patience);
  arguments.all.assign(argv + 1, argv + argc);
  // Each step takes the same tensors as the one before.
  slipway::KeepFreedMemory(INT_MAX, slipway::kLargestKeptBlock);

  ShutdownSignal shutdown;
  const auto attempt = ReadAttempt(arguments.attempt_file);
  if (!attempt.ok()) {
    Log(Severity::kError, "attempt_refused", {{"error", attempt.status()}});
    return training::kTrainerBadAttempt;
  }
  auto host = OpenHost(arguments, *attempt);
  if (!host.ok()) {
    Log(Severity::kError, "attempt_refused", {{"error", host.status()}});
    return training::kTrainerBadAttempt;
  }
  if (arguments.gang.rank > 0) {
    SilentHost silent(*std::move(host));
    const absl::Status status = Train(*attempt, arguments, silent, shutdown).status();
    // What is the job's own fault the leader finds, too, and tells.
    if (IsTheJobsOwn(status)) return training::kTrainerDone;
    Log(Severity::kError, "trainer_process_failed",
        {{"job", attempt->job()}, {"rank", arguments.gang.rank}, {"error", status}});
    return training::kTrainerUnavailable;
  }
  const auto outcome = Train(*attempt, arguments, **host, shutdown);
  const int code = Conclude(outcome, attempt->job(), **host);
  // A person who trains from a folder reads the exit code, not a verdict.
  return outcome.ok() || arguments.data_dir.empty() ? code : EXIT_FAILURE;
}

}  // namespace
}  // namespace slipway::trainer

int main(int argc, char** argv) { return slipway::trainer::Main(argc, argv); }
