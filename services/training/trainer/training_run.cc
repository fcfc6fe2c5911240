#include "services/training/trainer/training_run.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/crypto/hash.h"
#include "common/fields/json.h"
#include "common/nn/model_description.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/training/spec/estimate.h"
#include "services/training/spec/gates.h"
#include "services/training/trainer/base_version.h"
#include "services/training/trainer/best_epochs.h"
#include "services/training/trainer/checkpoint_store.h"
#include "services/training/trainer/checkpoint_writer.h"
#include "services/training/trainer/data/augment.h"
#include "services/training/trainer/data/data_report.h"
#include "services/training/trainer/data/open_data.h"
#include "services/training/trainer/data/sampler.h"
#include "services/training/trainer/data/step_reader.h"
#include "services/training/trainer/data/token_masker.h"
#include "services/training/trainer/divergence_watch.h"
#include "services/training/trainer/evaluation.h"
#include "services/training/trainer/hand_in.h"
#include "services/training/trainer/tensorboard/charts.h"

namespace slipway::trainer {
namespace {

constexpr absl::Duration kReportEvery = absl::Milliseconds(500);
constexpr char kChartFolder[] = "tensorboard";
constexpr char kJobKey[] = "job";
constexpr char kLoopKey[] = "loop";
// Changes whenever this code changes what a step does or what a checkpoint holds.
constexpr char kStepFormat[] = "3";

// Sums over the steps of an epoch.
struct EpochSums {
  double loss = 0;  // of rows, or tokens
  int64_t right = 0;
  int64_t rows = 0;

  double mean_loss() const { return rows == 0 ? 0 : loss / static_cast<double>(rows); }
  double accuracy() const {
    return rows == 0 ? 0 : static_cast<double>(right) / static_cast<double>(rows);
  }
};

// What a checkpoint knows beside the learner's state.
struct LoopState {
  int64_t step = 0;  // steps done
  EpochSums sums;    // of the current epoch
  // For early stopping: the lowest validation loss (infinite: none yet), and how many epochs have
  // ended since.
  double best_loss = std::numeric_limits<double>::infinity();
  int64_t epochs_since_best = 0;
  training::PlateauState plateau = {};
  DivergenceWatch divergence = {};
  BestEpochs best_epochs = {};  // whose checkpoints are kept

  std::string Print() {
    nlohmann::json object = {
        {"step", step}, {"loss", sums.loss}, {"right", sums.right}, {"rows", sums.rows}};
    if (std::isfinite(best_loss)) object["best_loss"] = best_loss;
    object["epochs_since_best"] = epochs_since_best;
    object["plateau"] = WriteFields(plateau);
    object["divergence"] = WriteFields(divergence);
    object["best_epochs"] = WriteFields(best_epochs);
    return object.dump();
  }
  static absl::StatusOr<LoopState> Parse(std::string_view text) {
    ASSIGN_OR_RETURN(const nlohmann::json object, ParseJson(text, "loop"));
    LoopState state;
    FieldReader reader(object, "loop");
    reader.Int("step", state.step, {.min = 0, .required = true});
    reader.Real("loss", state.sums.loss, {.required = true});
    reader.Int("right", state.sums.right, {.min = 0, .required = true});
    reader.Int("rows", state.sums.rows, {.min = 0, .required = true});
    reader.Real("best_loss", state.best_loss);
    reader.Int("epochs_since_best", state.epochs_since_best, {.min = 0, .required = true});
    reader.Object("plateau", state.plateau, Presence::kRequired);
    reader.Object("divergence", state.divergence, Presence::kRequired);
    reader.Object("best_epochs", state.best_epochs);
    RETURN_IF_ERROR(reader.Done());
    return state;
  }
};

// Two runs with the same fingerprint take the same steps. What changes no step (the model's name,
// the alias, how many checkpoints are kept, when it is given up) is not in it.
std::string Fingerprint(const training::Spec& spec, const std::string& dataset_digest,
                        const std::string& base_digest) {
  const training::v1::JobSpec& job = spec.job;
  Sha256 hash;
  const auto add = [&](std::string_view text) {
    hash.Update(fmt::format("{}:", text.size()));
    hash.Update(text);
  };
  add(kStepFormat);
  add(dataset_digest);
  add(job.data().SerializeAsString());
  training::v1::LoopSpec loop = job.training();
  loop.clear_divergence();
  add(loop.SerializeAsString());
  add(fmt::format("{} {}", job.resources().device(), job.resources().threads()));
  // Maps have no order in protobuf's bytes, but one in JSON.
  for (const auto* object : {&job.architecture(), &job.loss(), &job.optimizer(), &job.schedule()}) {
    add(training::ToJson(*object).dump());
  }
  if (job.has_objective()) add(training::ToJson(job.objective()).dump());
  if (job.has_base()) {
    training::v1::BaseSpec base = job.base();
    base.clear_version();
    add(base.SerializeAsString());
    add(base_digest);
  }
  return hash.FinishHex();
}

class Run {
 public:
  Run(const TrainingRunOptions& options, AttemptHost& host, const Clock& clock)
      : options_(options), spec_(options.spec), host_(host), clock_(clock) {}

  absl::StatusOr<RunOutcome> Go(const LearnerFactory& make_learner);

 private:
  absl::Status Prepare(const LearnerFactory& make_learner);
  absl::Status ReadData();
  absl::Status MakeLearner(const LearnerFactory& make_learner);
  absl::Status Resume(CheckpointStore& store);
  absl::Status TrainAll(CheckpointWriter& writer);
  std::string ChartFolder() const;
  void OpenCharts();
  void Chart(const std::map<std::string, double>& curves, std::span<const Tensor> parameters);
  absl::Status TakeStep();
  absl::Status EndEpoch();
  absl::Status CompareWithBest(double loss);
  void RankEpoch(const Score& score);
  bool IsBestEpoch() const;
  std::string MetricOfBest() const;
  absl::Status TakeBestEpoch(CheckpointStore& store);
  void FollowPlateau(double loss);
  bool done() const;
  absl::Status HandOverCheckpoint(CheckpointWriter& writer);
  void ReportCheckpoints(CheckpointWriter& writer);
  absl::StatusOr<Score> EvaluateRows(const Examples& examples, const std::vector<int64_t>& rows);
  absl::Status AddValidation(std::map<std::string, double>& metrics);

  int64_t seed() const { return spec_.job.training().seed(); }
  bool stopped() const { return outcome_.has_value(); }
  void AskForStop();
  void Enter(const std::string& phase);
  void ReportProgress(bool now);
  void Tell(std::string_view severity, std::string text);
  void Report(training::v1::Event event);

  const TrainingRunOptions& options_;
  const training::Spec& spec_;
  AttemptHost& host_;
  const Clock& clock_;

  std::optional<BaseVersion> base_;  // until the learner has its weights
  bool keep_head_ = false;           // the base's
  TrainingData data_;
  DataReport data_report_;
  nn::ModelDescription description_;
  nn::Network network_;
  std::unique_ptr<Learner> learner_;
  BatchChange hide_;  // what the network is asked for; empty: nothing is hidden
  std::optional<StepReader> reader_;
  /// For TensorBoard; absent where it could not be written.
  std::optional<Charts> charts_;
  int64_t steps_ = 0;
  LoopState state_;
  double rate_ = 0;  // of the newest step
  std::string fingerprint_;
  /// Set once the run is to end early.
  std::optional<RunOutcome> outcome_;

  training::v1::Progress progress_;
  absl::Duration last_report_ = -absl::InfiniteDuration();
  absl::Duration window_start_;  // of the speed that is reported
  int64_t window_rows_ = 0;
};

void Run::Report(training::v1::Event event) {
  *event.mutable_time() = ToTimestamp(clock_.Now());
  const auto stop = host_.Report(std::move(event));
  // An event that cannot be told is no reason to stop training.
  if (stop.ok() && *stop) outcome_ = RunOutcome::kAbandoned;
}

void Run::Tell(std::string_view severity, std::string text) {
  training::v1::Event event;
  event.mutable_log()->set_severity(std::string(severity));
  event.mutable_log()->set_text(std::move(text));
  Report(std::move(event));
}

void Run::Enter(const std::string& phase) {
  progress_.set_phase(phase);
  ReportProgress(true);
}

void Run::ReportProgress(bool now) {
  const absl::Duration time = clock_.Monotonic();
  if (!now && time - last_report_ < kReportEvery) return;
  last_report_ = time;
  const double seconds = absl::ToDoubleSeconds(time - window_start_);
  if (window_rows_ > 0 && seconds > 0) {
    const double speed = static_cast<double>(window_rows_) / seconds;
    progress_.set_samples_per_second(speed);
    const double rows_left = static_cast<double>(steps_ - state_.step) *
                             static_cast<double>(data_.train_rows.size()) /
                             static_cast<double>(std::max<int64_t>(reader_->steps_per_epoch(), 1));
    progress_.set_remaining_seconds(rows_left / speed);
  }
  window_start_ = time;
  window_rows_ = 0;
  training::v1::Event event;
  *event.mutable_progress() = progress_;
  Report(std::move(event));
}

void Run::AskForStop() {
  if (stopped() || !options_.stop) return;
  switch (options_.stop()) {
    case StopRequest::kNone:
      return;
    case StopRequest::kCheckpoint:
      outcome_ = RunOutcome::kInterrupted;
      return;
    case StopRequest::kAbandon:
      outcome_ = RunOutcome::kAbandoned;
      return;
  }
}

absl::Status Run::Prepare(const LearnerFactory& make_learner) {
  progress_.set_epochs(spec_.job.training().epochs());
  Enter("preparing");
  if (spec_.job.has_base()) {
    ASSIGN_OR_RETURN(base_, OpenBase(host_));
  }
  RETURN_IF_ERROR(ReadData());
  ASSIGN_OR_RETURN(network_, description_.BuildNetwork("spec"));
  *progress_.mutable_network() = training::SizeOf(network_, spec_.objective);
  Tell("info",
       fmt::format(
           "rows: {} train, {} validation, {} test; {} parameters, {:.2f} M operations a row",
           data_.train_rows.size(), data_.validation_rows.size(), data_.test_rows.size(),
           network_.trainable_count(), progress_.network().row_flops() / 1e6));
  fingerprint_ =
      Fingerprint(spec_, options_.dataset_digest, base_.has_value() ? base_->digest : "");
  RETURN_IF_ERROR(MakeLearner(make_learner));
  const training::v1::LoopSpec& loop = spec_.job.training();
  BatchChange change;
  if (spec_.job.data().has_augment()) {
    ASSIGN_OR_RETURN(const Augmenter augmenter,
                     Augmenter::Make(spec_.job.data().augment(), data_.train->input,
                                     static_cast<uint64_t>(seed())));
    change = std::bind_front(&Augmenter::Apply, augmenter);
  }
  if (const auto* masked = std::get_if<training::MaskedToken>(&spec_.objective)) {
    const TokenMasker masker(*masked, *data_.table->tokenizer(), data_.table->width(),
                             static_cast<uint64_t>(seed()));
    hide_ = std::bind_front(&TokenMasker::Apply, masker);
    change = hide_;
  }
  const int64_t step_rows = training::RowsOfStep(spec_, std::ssize(data_.train_rows));
  reader_.emplace(*data_.train, Sampler(data_.train_rows, step_rows, static_cast<uint64_t>(seed())),
                  std::move(change),
                  StepReader::Options{.batch_size = loop.batch_size(),
                                      .step_rows = step_rows,
                                      .rank = options_.rank,
                                      .processes = options_.processes});
  steps_ = reader_->steps_per_epoch() * loop.epochs();
  progress_.set_steps(steps_);
  return absl::OkStatus();
}

absl::Status Run::ReadData() {
  const bool as_base = base_.has_value() && !spec_.job.base().refit_preprocessing();
  std::vector<std::string> files;
  if (spec_.job.data().format() == "images") {
    ASSIGN_OR_RETURN(files, host_.ListFiles());
  }
  const OpenDataOptions data_options = {
      .files = std::move(files),
      .folder = options_.checkpoint_dir,
      .mask_key = fmt::format("masks of {}, seed {}", options_.dataset_digest, seed()),
      .objective = spec_.objective,
      .base = as_base ? &base_->description : nullptr};
  ASSIGN_OR_RETURN(
      data_, OpenData(
                 spec_.job.data(), spec_.targets, static_cast<uint64_t>(seed()),
                 [&](const std::string& path) { return host_.FetchFile(path); }, data_options));
  RETURN_IF_ERROR(training::CheckClasses(spec_.loss, data_.outputs, "spec.loss"));
  keep_head_ = base_.has_value() && KeepsHead(*base_, training::TaskOf(spec_.targets), data_);
  if (keep_head_ && data_.labels.empty()) data_.labels = base_->description.labels;
  data_report_ = ReportData(data_);
  for (const std::string& warning : data_report_.warnings) Tell("warning", warning);
  // Of the raw rows only the test's are asked for again, to be recorded.
  data_.raw_train = nullptr;
  if (!data_.table.has_value()) data_.raw_test = nullptr;
  description_ = DescribeModel(spec_, data_);
  if (base_.has_value()) {
    RETURN_IF_ERROR(TakeOver(spec_.job, *base_, data_, description_));
    if (as_base) return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(description_.preprocessing, FitPreprocessing(spec_.job.data(), data_));
  return absl::OkStatus();
}

absl::Status Run::MakeLearner(const LearnerFactory& make_learner) {
  if (!base_.has_value()) {
    RETURN_IF_ERROR(training::CheckMemory(network_, spec_, options_.processes));
    ASSIGN_OR_RETURN(learner_, make_learner(network_));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const FineTuning tuning,
                   PlanFineTuning(spec_.job, *base_, description_, network_, keep_head_));
  Tell("info", tuning.summary);
  RETURN_IF_ERROR(training::CheckMemory(tuning.network, spec_, options_.processes));
  ASSIGN_OR_RETURN(learner_, make_learner(tuning.network));
  base_.reset();
  return learner_->StartFrom(tuning.weights);
}

absl::Status Run::Resume(CheckpointStore& store) {
  ASSIGN_OR_RETURN(const CheckpointStore::Found found, store.FindNewest(kJobKey, fingerprint_));
  for (const std::string& refused : found.refused) Tell("warning", "passed over " + refused);
  if (!found.state.has_value()) return absl::OkStatus();
  const auto loop = found.state->metadata().find(kLoopKey);
  if (loop == found.state->metadata().end()) {
    return absl::DataLossError("the newest checkpoint says nothing of its loop");
  }
  ASSIGN_OR_RETURN(state_, LoopState::Parse(loop->second));
  RETURN_IF_ERROR(Annotate(learner_->LoadState(*found.state), "the newest checkpoint"));
  progress_.set_step(state_.step);
  progress_.set_epoch(static_cast<int>(state_.step / reader_->steps_per_epoch()));
  Tell("info", fmt::format("goes on from the checkpoint of step {}", state_.step));
  return absl::OkStatus();
}

std::string Run::ChartFolder() const { return options_.checkpoint_dir + "/" + kChartFolder; }

void Run::OpenCharts() {
  absl::StatusOr<Charts> opened =
      Charts::Open(ChartFolder(), spec_, network_, data_, state_.step, clock_.Now());
  if (opened.ok()) {
    charts_ = *std::move(opened);
  } else {
    Tell("warning",
         "no charts are written for TensorBoard: " + std::string(opened.status().message()));
  }
}

// Points of curves, and how these parameters are spread, at the step that was done last.
void Run::Chart(const std::map<std::string, double>& curves, std::span<const Tensor> parameters) {
  if (!charts_.has_value()) return;
  const absl::Status added = charts_->Add(curves, parameters, state_.step, clock_.Now());
  if (!added.ok()) {
    Tell("warning", "a chart for TensorBoard was not written: " + std::string(added.message()));
  }
}

absl::Status Run::TakeStep() {
  const int64_t per_epoch = reader_->steps_per_epoch();
  const StepReader::Step& read = reader_->At(state_.step);
  const int64_t rows = read.rows;
  const training::Moment moment{.step = state_.step,
                                .steps = steps_,
                                .steps_per_epoch = per_epoch,
                                .lowered = state_.plateau.factor};
  rate_ = training::LearningRateOf(spec_.optimizer) * training::RateFactor(spec_.schedule, moment);
  ASSIGN_OR_RETURN(const StepResult result, learner_->Train(read.batches, state_.step + 1, rate_));
  if (!std::isfinite(result.loss)) {
    return absl::FailedPreconditionError(fmt::format(
        "the training diverged: at step {} (epoch {}) the loss or its gradient is no finite number "
        "any more; try a smaller spec.optimizer.learning_rate, or spec.training.clip_norm",
        state_.step + 1, state_.step / per_epoch + 1));
  }
  RETURN_IF_ERROR(state_.divergence.Add(result.loss, spec_.job.training().divergence()));
  if (state_.step % per_epoch == 0) state_.sums = {};
  ++state_.step;
  const int64_t judged = rows * data_.train->targets_per_row;
  state_.sums.loss += result.loss * static_cast<double>(judged);
  state_.sums.right += result.right;
  state_.sums.rows += judged;
  window_rows_ += rows;
  progress_.set_step(state_.step);
  progress_.set_epoch(static_cast<int>((state_.step - 1) / per_epoch + 1));
  progress_.set_loss(state_.sums.mean_loss());
  progress_.set_accuracy(state_.sums.accuracy());
  return absl::OkStatus();
}

absl::Status Run::EndEpoch() {
  std::string text = fmt::format("epoch {}/{}: loss {:.4f}", progress_.epoch(), progress_.epochs(),
                                 state_.sums.mean_loss());
  const bool classes = description_.task != nn::Task::kRegression;
  std::map<std::string, double> charted = {{"train/loss", state_.sums.mean_loss()},
                                           {"learning_rate", rate_}};
  if (classes) {
    text += fmt::format(", accuracy {:.4f}", state_.sums.accuracy());
    charted["train/accuracy"] = state_.sums.accuracy();
  }
  if (!data_.validation_rows.empty()) {
    ASSIGN_OR_RETURN(const Score score, EvaluateRows(*data_.train, data_.validation_rows));
    progress_.set_validation_loss(score.loss);
    for (const auto& [metric, value] : score.Report(data_.labels)) {
      charted["validation/" + metric] = value;
    }
    text += fmt::format("; validation loss {:.4f}", score.loss);
    if (const auto accuracy = score.accuracy()) {
      progress_.set_validation_accuracy(*accuracy);
      text += fmt::format(", accuracy {:.4f}", *accuracy);
    }
    RETURN_IF_ERROR(CompareWithBest(score.loss));
    RankEpoch(score);
  }
  FollowPlateau(data_.validation_rows.empty() ? state_.sums.mean_loss()
                                              : progress_.validation_loss());
  Tell("info", std::move(text));
  ReportProgress(true);
  std::vector<Tensor> parameters;
  if (charts_.has_value() && Charts::TakesParameters(network_.trainable_count())) {
    ASSIGN_OR_RETURN(parameters, learner_->SaveModel());
  }
  Chart(charted, parameters);
  return absl::OkStatus();
}

absl::Status Run::CompareWithBest(double loss) {
  const training::v1::LoopSpec& loop = spec_.job.training();
  if (!loop.has_early_stopping()) return absl::OkStatus();
  if (!(loss < state_.best_loss - loop.early_stopping().min_delta())) {
    ++state_.epochs_since_best;
    return absl::OkStatus();
  }
  state_.best_loss = loss;
  state_.epochs_since_best = 0;
  return learner_->KeepBest();
}

void Run::RankEpoch(const Score& score) {
  const training::v1::CheckpointSpec& checkpoint = spec_.job.checkpoint();
  if (checkpoint.keep_best() == 0) return;
  const std::map<std::string, double> metrics = score.Report({});
  const auto metric = metrics.find(MetricOfBest());
  if (metric == metrics.end()) return;
  state_.best_epochs.Add(state_.step, metric->second, training::HigherIsBetter(metric->first),
                         static_cast<size_t>(checkpoint.keep_best()));
}

// Whether the step that was done last ended one of the best epochs.
bool Run::IsBestEpoch() const {
  const std::vector<int64_t>& best = state_.best_epochs.steps;
  return std::find(best.begin(), best.end(), state_.step) != best.end();
}

std::string Run::MetricOfBest() const {
  const std::string& metric = spec_.job.checkpoint().metric();
  return metric.empty() ? "loss" : metric;
}

absl::Status Run::TakeBestEpoch(CheckpointStore& store) {
  const BestEpochs& best = state_.best_epochs;
  for (size_t i = 0; i < best.steps.size(); ++i) {
    ASSIGN_OR_RETURN(const CheckpointStore::Found found,
                     store.Find(best.steps[i], kJobKey, fingerprint_));
    for (const std::string& refused : found.refused) Tell("warning", "passed over " + refused);
    if (!found.state.has_value()) continue;
    RETURN_IF_ERROR(learner_->LoadState(*found.state));
    Tell("info", fmt::format("registers the weights of step {}, of which the validation part's {} "
                             "is {:.6g}",
                             best.steps[i], MetricOfBest(), best.metrics[i]));
    return absl::OkStatus();
  }
  Tell("warning",
       fmt::format("registers the last weights: there is no checkpoint of an epoch whose "
                   "{} was measured",
                   MetricOfBest()));
  return absl::OkStatus();
}

void Run::FollowPlateau(double loss) {
  const auto* const plateau = std::get_if<training::PlateauSchedule>(&spec_.schedule.decay);
  if (plateau == nullptr) return;
  const double before = state_.plateau.factor;
  state_.plateau = plateau->After(state_.plateau, loss);
  if (state_.plateau.factor == before) return;
  Tell("info", fmt::format("the learning rate falls to {:.4g}: the loss has been no better than "
                           "{:.4f} for {} epochs",
                           training::LearningRateOf(spec_.optimizer) * state_.plateau.factor,
                           state_.plateau.best, plateau->patience + 1));
}

bool Run::done() const {
  const training::v1::LoopSpec& loop = spec_.job.training();
  return state_.step == steps_ || (loop.has_early_stopping() &&
                                   state_.epochs_since_best >= loop.early_stopping().patience());
}

absl::Status Run::HandOverCheckpoint(CheckpointWriter& writer) {
  ASSIGN_OR_RETURN(std::vector<Tensor> state, learner_->SaveState());
  writer.Submit(state_.step, std::move(state),
                {{kJobKey, fingerprint_}, {kLoopKey, state_.Print()}}, state_.best_epochs.steps);
  return absl::OkStatus();
}

void Run::ReportCheckpoints(CheckpointWriter& writer) {
  for (const auto& result : writer.TakeResults()) {
    if (!result.ok()) {
      // The one before it is still there, and the next may find room again.
      Tell("warning",
           fmt::format("a checkpoint was not written: {}", std::string(result.status().message())));
      continue;
    }
    training::v1::Event event;
    event.mutable_checkpoint()->set_step(result->step);
    event.mutable_checkpoint()->set_digest(result->digest);
    event.mutable_checkpoint()->set_size_bytes(result->size_bytes);
    Report(std::move(event));
  }
}

absl::Status Run::TrainAll(CheckpointWriter& writer) {
  const int64_t per_epoch = reader_->steps_per_epoch();
  const int64_t every = spec_.job.checkpoint().every_steps();
  int64_t saved = state_.step;  // the step of the newest checkpoint
  const int64_t first = state_.step;
  const absl::Duration start = clock_.Monotonic();
  Enter("training");
  while (!done()) {
    AskForStop();
    if (stopped()) break;
    RETURN_IF_ERROR(TakeStep());
    const bool epoch_ended = state_.step % per_epoch == 0;
    if (epoch_ended) RETURN_IF_ERROR(EndEpoch());
    if (done() || (every > 0 ? state_.step % every == 0 : epoch_ended) || IsBestEpoch()) {
      RETURN_IF_ERROR(HandOverCheckpoint(writer));
      saved = state_.step;
    }
    ReportCheckpoints(writer);
    ReportProgress(false);
  }
  if (outcome_ == RunOutcome::kInterrupted && saved != state_.step) {
    RETURN_IF_ERROR(HandOverCheckpoint(writer));
  }
  writer.Flush();
  ReportCheckpoints(writer);
  if (stopped()) return absl::OkStatus();
  // What is kept with the job: the speed of all of it, by which others are planned.
  const double seconds = absl::ToDoubleSeconds(clock_.Monotonic() - start);
  if (state_.step > first && seconds > 0) {
    progress_.set_samples_per_second(static_cast<double>(state_.step - first) / seconds *
                                     static_cast<double>(data_.train_rows.size()) /
                                     static_cast<double>(per_epoch));
    window_rows_ = 0;
  }
  if (state_.step < steps_) {
    Tell("info", fmt::format("stopped early: the validation loss was {:.4f} {} epochs ago, and has "
                             "not become better since",
                             state_.best_loss, state_.epochs_since_best));
  }
  return learner_->TakeBest();
}

absl::StatusOr<Score> Run::EvaluateRows(const Examples& examples,
                                        const std::vector<int64_t>& rows) {
  return Evaluate(*learner_, description_.task, data_.outputs, examples, rows, hide_);
}

// What trials are compared by: the test part must not choose among them.
absl::Status Run::AddValidation(std::map<std::string, double>& metrics) {
  ASSIGN_OR_RETURN(const Score score, EvaluateRows(*data_.train, data_.validation_rows));
  for (const auto& [metric, value] : score.Report({})) {
    if (metric.find('/') == std::string::npos) metrics["validation_" + metric] = value;
  }
  return absl::OkStatus();
}

absl::StatusOr<RunOutcome> Run::Go(const LearnerFactory& make_learner) {
  window_start_ = clock_.Monotonic();
  ASSIGN_OR_RETURN(
      CheckpointStore store,
      CheckpointStore::Open(options_.checkpoint_dir, std::max(1, spec_.job.checkpoint().keep())));
  RETURN_IF_ERROR(Prepare(make_learner));
  if (options_.rank > 0) {
    return learner_->Follow(
        [this](int64_t step) -> std::span<const Batch> { return reader_->At(step - 1).batches; });
  }
  RETURN_IF_ERROR(Resume(store));
  OpenCharts();
  {
    CheckpointWriter writer(store);
    RETURN_IF_ERROR(TrainAll(writer));
  }
  if (stopped()) return *outcome_;
  if (spec_.job.checkpoint().register_best()) RETURN_IF_ERROR(TakeBestEpoch(store));

  progress_.set_remaining_seconds(0);
  Enter("evaluating");
  ASSIGN_OR_RETURN(const Score score, EvaluateRows(*data_.test, data_.test_rows));
  std::map<std::string, double> metrics = score.Report(data_.labels);
  std::map<std::string, double> charted;
  for (const auto& [metric, value] : metrics) charted["test/" + metric] = value;
  Chart(charted, {});
  if (options_.trial) RETURN_IF_ERROR(AddValidation(metrics));
  RETURN_IF_ERROR(CheckFinite(metrics));
  RETURN_IF_ERROR(training::CheckThresholds(spec_.job.evaluation(), metrics));
  if (stopped()) return *outcome_;
  Enter("registering");
  if (stopped()) return *outcome_;
  ASSIGN_OR_RETURN(std::vector<Tensor> weights, learner_->SaveModel());
  RETURN_IF_ERROR(HandIn({.spec = spec_,
                          .dataset_digest = options_.dataset_digest,
                          .data = data_,
                          .data_report = data_report_,
                          .description = description_,
                          .network = network_,
                          .weights = std::move(weights),
                          .score = score,
                          .metrics = metrics},
                         options_.checkpoint_dir, ChartFolder(), host_,
                         [this](std::string text) { Tell("warning", std::move(text)); }));
  return RunOutcome::kCompleted;
}

}  // namespace

absl::StatusOr<RunOutcome> RunTraining(const TrainingRunOptions& options, AttemptHost& host,
                                       const LearnerFactory& make_learner, const Clock& clock) {
  return Run(options, host, clock).Go(make_learner);
}

}  // namespace slipway::trainer
