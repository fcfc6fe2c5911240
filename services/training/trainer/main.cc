// slipway-trainer: one attempt of one training job. Training launches it with --attempt; with
// --data and --output it trains from a folder into a folder, without a platform.

#include <malloc.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "common/files/files.h"
#include "common/log/log.h"
#include "common/process/shutdown.h"
#include "common/time/clock.h"
#include "google/protobuf/util/json_util.h"
#include "services/training/spec/spec.h"
#include "services/training/spec/trainer_exit.h"
#include "services/training/trainer/folder_attempt_host.h"
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

// Keeps the memory of one step for the next: by default the allocator gives large tensors back to
// the system at once, and faults every page of them in again.
void KeepFreedMemory() {
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, INT_MAX);
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

absl::StatusOr<RunOutcome> Train(const training::v1::Attempt& attempt, AttemptHost& host,
                                 ShutdownSignal& shutdown) {
  TrainingRunOptions options;
  ASSIGN_OR_RETURN(options.spec, training::ParseSpec(attempt.spec()));
  options.dataset_digest = attempt.dataset().digest();
  options.checkpoint_dir = attempt.checkpoint_dir();
  options.stop = [&shutdown] {
    return shutdown.WaitFor(absl::ZeroDuration()) ? StopRequest::kCheckpoint : StopRequest::kNone;
  };
  const training::Spec& spec = options.spec;
  const LearnerFactory make_learner = [&spec](nn::Network network) {
    return MakeTorchLearner(std::move(network), spec.loss, spec.optimizer,
                            {.device = spec.job.resources().device(),
                             .threads = spec.job.resources().threads(),
                             .seed = static_cast<uint64_t>(spec.job.training().seed()),
                             .clip_norm = spec.job.training().clip_norm()});
  };
  return RunTraining(options, host, make_learner, Clock::Real());
}

int Main(int argc, char** argv) {
  CLI::App app("Runs one attempt of a training job.");
  std::string attempt_file;
  std::string data_dir;
  std::string output_dir;
  app.add_option("--attempt", attempt_file, "The attempt, as JSON")->required();
  auto* data = app.add_option("--data", data_dir, "Train from this folder, without a platform");
  auto* output = app.add_option("--output", output_dir, "Where the result then goes");
  data->needs(output);
  output->needs(data);
  CLI11_PARSE(app, argc, argv);
  SleepWhereOpenMpWouldSpin(argv);

  KeepFreedMemory();
  ShutdownSignal shutdown;
  const auto attempt = ReadAttempt(attempt_file);
  if (!attempt.ok()) {
    Log(Severity::kError, "attempt_refused", {{"error", attempt.status()}});
    return training::kTrainerBadAttempt;
  }
  auto host = FolderAttemptHost::Create(data_dir, output_dir);
  if (!host.ok()) {
    Log(Severity::kError, "host_not_opened", {{"error", host.status()}});
    return training::kTrainerBadAttempt;
  }
  const auto outcome = Train(*attempt, *host, shutdown);
  if (outcome.ok()) {
    Log(Severity::kInfo, "attempt_ended", {{"job", attempt->job()}});
    return *outcome == RunOutcome::kInterrupted ? training::kTrainerInterrupted
                                                : training::kTrainerDone;
  }
  Log(Severity::kError, "attempt_failed", {{"job", attempt->job()}, {"error", outcome.status()}});
  const absl::Status told =
      host->Fail(std::string(outcome.status().message()), !IsTheJobsOwn(outcome.status()));
  if (!told.ok()) {
    Log(Severity::kError, "failure_not_told", {{"error", told}});
    return training::kTrainerUnavailable;
  }
  return 1;
}

}  // namespace
}  // namespace slipway::trainer

int main(int argc, char** argv) { return slipway::trainer::Main(argc, argv); }
