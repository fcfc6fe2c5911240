#include "services/training/plan/planner.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "common/idx/idx.h"
#include "common/nn/model_description.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "nlohmann/json.hpp"
#include "services/training/plan/propose.h"
#include "services/training/plan/sample.h"
#include "services/training/references.h"
#include "services/training/search/search.h"
#include "services/training/spec/estimate.h"
#include "services/training/trainer/data/open_data.h"

namespace slipway::training {
namespace {

constexpr char kScratch[] = "plans";
constexpr int kComparedJobs = 200;
// Of one architecture; more say nothing new.
constexpr size_t kEnoughJobs = 20;
// What an unknown machine may differ by from the one that StepTime knows, and a job from another.
constexpr double kUnknownMachine = 4;
constexpr double kOneJob = 1.5;
// Measured: from a trainer's start until it trains, and from there until the version is registered.
constexpr absl::Duration kAround = absl::Seconds(3);
constexpr double kReadBytesASecond = 1e8;
constexpr int64_t kProgramBytes = int64_t{160} << 20;
// A proposal that takes longer has to give way to a quicker one.
constexpr absl::Duration kLongProposal = absl::Minutes(30);
constexpr double kForwardShare = 1.0 / 3;  // of a step
constexpr int64_t kMostDescriptionBytes = 64 << 20;

int ProcessesOf(const v1::JobSpec& spec) { return std::max(1, spec.resources().processes()); }

int CoresOf(const v1::JobSpec& spec) {
  const int cores = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const int asked = spec.resources().threads() * ProcessesOf(spec);
  return asked > 0 ? std::min(cores, asked) : cores;
}

bool IsBfloat16(const v1::JobSpec& spec) { return spec.training().precision() == kBfloat16; }

int64_t Scaled(size_t rows, double scale) {
  return static_cast<int64_t>(std::llround(static_cast<double>(rows) * scale));
}

google::protobuf::Duration ToProto(absl::Duration time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToDuration(absl::ToInt64Microseconds(time));
}

// A spec with the rows that it trains on.
struct Prepared {
  trainer::TrainingData data;
  double train_scale = 1;
  double test_scale = 1;

  int64_t train_rows() const { return Scaled(data.train_rows.size(), train_scale); }
  int64_t validation_rows() const { return Scaled(data.validation_rows.size(), train_scale); }
  int64_t test_rows() const { return Scaled(data.test_rows.size(), test_scale); }
  bool sampled() const { return train_scale != 1 || test_scale != 1; }
  double bytes() const {
    const auto of = [](const trainer::Examples& examples, double scale) {
      return static_cast<double>(examples.inputs.size()) * scale;
    };
    return of(*data.train, train_scale) +
           (data.test == data.train ? 0 : of(*data.test, test_scale));
  }
};

// The classes of a sampled array of targets: its first rows may lack some.
absl::Status NameClasses(Sample& sample, v1::DataSpec& data) {
  ASSIGN_OR_RETURN(const Sample::Beginning* targets, sample.Read(data.train().targets()));
  const auto header = IdxHeader::Parse(targets->content, data.train().targets());
  if (!header.ok()) return absl::OkStatus();
  unsigned char most = 0;
  for (const char target : std::string_view(targets->content).substr(header->bytes)) {
    most = std::max(most, static_cast<unsigned char>(target));
  }
  for (int i = 0; i <= most; ++i) data.add_labels(std::to_string(i));
  return absl::OkStatus();
}

absl::StatusOr<Prepared> Prepare(const v1::JobSpec& spec, TargetKind targets,
                                 const Objective& objective, const trainer::BaseVersion* base,
                                 const std::string& folder, Sample& sample) {
  v1::DataSpec data = spec.data();
  Prepared prepared;
  RETURN_IF_ERROR(sample.Take(data, data.train(), "spec.data.train"));
  prepared.train_scale = prepared.test_scale = sample.scale(data.train());
  if (data.has_test()) {
    RETURN_IF_ERROR(sample.Take(data, data.test(), "spec.data.test"));
    prepared.test_scale = sample.scale(data.test());
  }
  if (targets == TargetKind::kClass && prepared.sampled() && data.labels().empty()) {
    if (data.format() == "idx") RETURN_IF_ERROR(NameClasses(sample, data));
    for (const std::string& name : sample.picture_classes()) data.add_labels(name);
  }
  const bool as_base = base != nullptr && !spec.base().refit_preprocessing();
  auto opened = trainer::OpenData(data, targets, static_cast<uint64_t>(spec.training().seed()),
                                  [&](const std::string& path) { return sample.LocalPath(path); },
                                  {.files = sample.files(),
                                   .folder = folder,
                                   .objective = objective,
                                   .base = as_base ? &base->description : nullptr});
  if (!opened.ok()) {
    const std::string field = FieldOf(opened.status());
    if (field.empty() || !prepared.sampled()) return opened.status();
    return InvalidField(
        field, fmt::format("{}; a plan looks at a part of large files and folders",
                           std::string(opened.status().message()).substr(field.size() + 2)));
  }
  prepared.data = *std::move(opened);
  return prepared;
}

DataFacts FactsOf(const Prepared& prepared) {
  DataFacts facts{prepared.train_rows(), prepared.data.train->input, prepared.data.outputs, 0};
  const std::vector<float>& values = prepared.data.train->values;
  double squares = 0;
  for (const float value : values) squares += double{value} * value;
  if (!values.empty()) facts.target_size = std::sqrt(squares / static_cast<double>(values.size()));
  return facts;
}

// What is trained.
absl::StatusOr<nn::Network> BuildNetwork(const Spec& spec, const trainer::BaseVersion* base,
                                         const Prepared& prepared) {
  nn::ModelDescription description = trainer::DescribeModel(spec, prepared.data);
  if (base != nullptr) {
    RETURN_IF_ERROR(trainer::TakeOver(spec.job, *base, prepared.data, description));
  }
  if (base == nullptr || spec.job.base().refit_preprocessing()) {
    ASSIGN_OR_RETURN(description.preprocessing,
                     trainer::FitPreprocessing(spec.job.data(), prepared.data));
  }
  ASSIGN_OR_RETURN(nn::Network network, description.BuildNetwork("spec"));
  if (base == nullptr) return network;
  const bool keep_head = trainer::KeepsHead(*base, description.task, prepared.data);
  ASSIGN_OR_RETURN(trainer::FineTuning tuning,
                   trainer::PlanFineTuning(spec.job, *base, description, network, keep_head));
  return std::move(tuning.network);
}

std::string InGiB(double bytes) { return fmt::format("{:.1f} GiB", bytes / (1 << 30)); }

void AddMemory(const nn::Network& network, const Spec& spec, const Prepared& prepared,
               v1::TrainingPlan& plan) {
  const MemoryNeed need = MemoryNeedOf(network, spec);
  // They share each batch; all else is each one's.
  const int64_t processes = ProcessesOf(spec.job);
  v1::TrainingPlan::Memory& memory = *plan.mutable_memory();
  memory.set_weights(processes * static_cast<int64_t>(need.weights));
  memory.set_activations(static_cast<int64_t>(need.activations));
  memory.set_rows(processes * static_cast<int64_t>(prepared.bytes()));
  memory.set_total(memory.weights() + memory.activations() + memory.rows() +
                   processes * kProgramBytes);
  memory.set_machine(MachineMemory());
  if (memory.total() > memory.machine()) {
    plan.add_warnings(fmt::format(
        "it takes {}, and the machine has {}: try a smaller training.batch_size",
        InGiB(static_cast<double>(memory.total())), InGiB(static_cast<double>(memory.machine()))));
  }
}

void AddTime(const Spec& spec, const SpeedFigures& speed, const Prepared& prepared,
             v1::TrainingPlan& plan) {
  const int64_t per_step = RowsOfStep(spec, plan.train_rows());
  const int64_t per_epoch = std::max<int64_t>(1, (plan.train_rows() + per_step - 1) / per_step);
  plan.set_steps(per_epoch * spec.job.training().epochs());
  const absl::Duration step = StepTime(plan.network(), spec.job, per_step, CoresOf(spec.job));
  const double judged =
      static_cast<double>(plan.validation_rows() * spec.job.training().epochs() + plan.test_rows());
  const absl::Duration work =
      step * plan.steps() +
      step * (judged / static_cast<double>(per_step) * kForwardShare / EvaluationsOf(spec.job));
  const absl::Duration around = kAround + absl::Seconds(prepared.bytes() / kReadBytesASecond);
  *plan.mutable_time() = ToProto(around + work * speed.factor);
  *plan.mutable_shortest_time() = ToProto(around + work * speed.least);
  *plan.mutable_longest_time() = ToProto(around + work * speed.most);
  plan.set_basis(speed.basis);
}

absl::StatusOr<v1::TrainingPlan> MakePlan(const v1::JobSpec& job, const trainer::BaseVersion* base,
                                          const std::vector<Job>& finished,
                                          const Prepared& prepared) {
  ASSIGN_OR_RETURN(Spec spec, ParseSpec(job));
  RETURN_IF_ERROR(CheckClasses(spec.loss, prepared.data.outputs, "spec.loss"));
  v1::TrainingPlan plan;
  *plan.mutable_spec() = job;
  plan.set_train_rows(prepared.train_rows());
  plan.set_validation_rows(prepared.validation_rows());
  plan.set_test_rows(prepared.test_rows());
  plan.set_sampled(prepared.sampled());
  ASSIGN_OR_RETURN(const nn::Network network, BuildNetwork(spec, base, prepared));
  RETURN_IF_ERROR(CheckMemory(network, spec, ProcessesOf(spec.job)));
  *plan.mutable_network() = SizeOf(network, spec.objective);
  AddMemory(network, spec, prepared, plan);
  if (base != nullptr && !job.has_architecture()) {
    // By whose speed the time is told.
    (*spec.job.mutable_architecture()->mutable_fields())["type"].set_string_value(
        base->description.architecture->ToJson()["type"].get<std::string>());
  }
  AddTime(spec, CompareSpeeds(finished, spec.job), prepared, plan);
  if (spec.time_limit > absl::ZeroDuration() && ToDuration(plan.time()) > spec.time_limit) {
    plan.add_warnings("it will hardly be done within spec.resources.time_limit");
  }
  return plan;
}

absl::StatusOr<v1::TrainingPlan> PlanGiven(const v1::JobSpec& job, const trainer::BaseVersion* base,
                                           const std::vector<Job>& finished,
                                           const std::string& folder, Sample& sample) {
  ASSIGN_OR_RETURN(const Spec spec, ParseSpec(job));
  ASSIGN_OR_RETURN(const Prepared prepared,
                   Prepare(job, spec.targets, spec.objective, base, folder, sample));
  return MakePlan(job, base, finished, prepared);
}

absl::StatusOr<v1::TrainingPlan> PlanProposed(const v1::JobSpec& given,
                                              const registry::v1::Dataset& dataset,
                                              const std::vector<Job>& finished,
                                              const std::string& folder, Sample& sample) {
  Proposal with_data{given, {}};
  RETURN_IF_ERROR(ProposeData(dataset, sample, with_data));
  const auto loss = ParseVariant<Loss>(ToJson(with_data.spec.loss()), "spec.loss");
  RETURN_IF_ERROR(loss.status());
  ASSIGN_OR_RETURN(const Prepared prepared,
                   Prepare(with_data.spec, TargetsOf(*loss), Objective(), nullptr, folder, sample));
  absl::StatusOr<v1::TrainingPlan> plan;
  std::string given_up;
  for (const Proposal& proposal : ProposeTraining(with_data, FactsOf(prepared))) {
    plan = MakePlan(proposal.spec, nullptr, finished, prepared);
    RETURN_IF_ERROR(plan.status());
    for (const std::string& reason : proposal.reasons) plan->add_reasons(reason);
    if (!given_up.empty()) plan->add_reasons(given_up);
    if (ToDuration(plan->time()) <= kLongProposal) return plan;
    given_up =
        fmt::format("architecture: a {} would take {:.0f} minutes here",
                    ArchitectureOf(proposal.spec), absl::ToDoubleMinutes(ToDuration(plan->time())));
  }
  return plan;
}

// A part of an object.
absl::StatusOr<std::string> ReadObject(ObjectStore& store, const std::string& key, int64_t offset,
                                       int64_t bytes) {
  std::string content;
  const absl::Status read = store.Read(key, offset, [&](std::string_view piece) {
    content += piece.substr(0, static_cast<size_t>(bytes) - content.size());
    return std::ssize(content) < bytes ? absl::OkStatus() : absl::CancelledError("it is enough");
  });
  if (std::ssize(content) < bytes) RETURN_IF_ERROR(read);
  return content;
}

}  // namespace

SpeedFigures CompareSpeeds(std::span<const Job> finished, const v1::JobSpec& spec) {
  std::vector<double> alike;
  std::vector<double> others;
  for (const Job& job : finished) {
    const double speed = job.progress.samples_per_second();
    if (!(speed > 0) || !job.progress.has_network()) continue;
    if (job.spec.resources().device() !=
        (spec.resources().device().empty() ? "cpu" : spec.resources().device())) {
      continue;
    }
    const int64_t rows = RowsOfStep(job.spec.training());
    const double told =
        absl::ToDoubleSeconds(StepTime(job.progress.network(), job.spec, rows, CoresOf(job.spec)));
    const double real = static_cast<double>(rows) / speed;
    const bool same = ArchitectureOf(job.spec) == ArchitectureOf(spec) &&
                      IsBfloat16(job.spec) == IsBfloat16(spec) &&
                      (EvaluationsOf(job.spec) > 1) == (EvaluationsOf(spec) > 1);
    std::vector<double>& kind = same ? alike : others;
    if (kind.size() < kEnoughJobs) kind.push_back(real / told);
  }
  std::vector<double>& ratios = alike.empty() ? others : alike;
  const double spread = alike.empty() ? kUnknownMachine : kOneJob;
  if (ratios.empty()) {
    return {1, 1 / kUnknownMachine, kUnknownMachine,
            "no job has been finished here yet: by figures of another machine, which may be off by "
            "a factor of 4"};
  }
  std::sort(ratios.begin(), ratios.end());
  SpeedFigures figures;
  figures.factor = ratios[ratios.size() / 2];
  // The widest of the two: what was seen, and what a job may differ by from others.
  const size_t tail = ratios.size() / 10;
  figures.least = std::min(ratios[tail], figures.factor / spread);
  figures.most = std::max(ratios[ratios.size() - 1 - tail], figures.factor * spread);
  figures.basis =
      alike.empty()
          ? fmt::format(
                "by the speed of {} jobs here, none of them with this architecture and precision",
                ratios.size())
          : fmt::format("by the speed of {} {} of this architecture here", ratios.size(),
                        ratios.size() == 1 ? "job" : "jobs");
  return figures;
}

Planner::Planner(ModelRegistry& registry, const ObjectStores& objects, JobStore& store,
                 Options options)
    : registry_(registry), objects_(objects), store_(store), options_(std::move(options)) {
  // What calls left that a crash ended.
  std::error_code absent;
  std::filesystem::remove_all(fmt::format("{}/{}", options_.scratch_dir, kScratch), absent);
}

absl::StatusOr<v1::TrainingPlan> Planner::Plan(const Principal& who,
                                               const v1::PlanTrainingJobRequest& request,
                                               absl::Time deadline) {
  ASSIGN_OR_RETURN(const TenantName parent, TenantName::Parse("parent", request.parent()));
  if (!who.MayAccess(parent.tenant)) return NotFound(request.parent());
  Principal owner = who;
  owner.tenant = parent.tenant;
  const absl::Cleanup leave = [&] { --under_way_; };
  if (++under_way_ > options_.max_at_once) {
    return absl::ResourceExhaustedError("too many plans at once; try again");
  }
  v1::JobSpec spec = request.spec();
  const bool from_objects = spec.data().has_source();
  if (spec.dataset().empty() && !from_objects) return InvalidField("spec.dataset", "is required");
  const bool proposed = !spec.has_architecture() && !spec.has_base();
  if (from_objects && proposed) {
    return InvalidField("spec.architecture",
                        "is required where spec.data.source is given: specs are proposed for "
                        "datasets that are registered");
  }
  int trials = 0;
  if (spec.has_search()) {
    ASSIGN_OR_RETURN(const Search search, Search::Parse(spec));
    trials = search.all_trials();
    spec = search.SpecOf(0, search.rungs() - 1);
  }
  // Before anything is fetched.
  if (!proposed) RETURN_IF_ERROR(ParseSpec(spec).status());
  ASSIGN_OR_RETURN(const registry::v1::Dataset dataset,
                   FindDataset(registry_, objects_, owner, spec, deadline));

  std::string folder = fmt::format("{}/{}", options_.scratch_dir, kScratch);
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  folder += "/XXXXXX";
  if (::mkdtemp(folder.data()) == nullptr) return FromErrno(errno, "cannot make", folder);
  const absl::Cleanup remove = [&] { std::filesystem::remove_all(folder, error); };
  ObjectStore* store = nullptr;
  if (from_objects) {
    ASSIGN_OR_RETURN(store, objects_.Find(owner.tenant, spec.data().source()));
  }
  Sample sample(dataset, folder,
                [&](const registry::v1::File& file, int64_t offset,
                    int64_t bytes) -> absl::StatusOr<std::string> {
                  if (store == nullptr) {
                    return registry_.ReadBlob(owner, file.digest(), offset, bytes, deadline);
                  }
                  return ReadObject(*store, KeyOf(spec.data().source(), file.path()), offset,
                                    bytes);
                });

  ASSIGN_OR_RETURN(const std::vector<Job> finished, store_.ListSucceeded(kComparedJobs));
  if (proposed) return PlanProposed(spec, dataset, finished, folder, sample);
  std::optional<trainer::BaseVersion> base;
  if (spec.has_base()) {
    ASSIGN_OR_RETURN(base, OpenBase(owner, spec.base().version(), deadline));
  }
  ASSIGN_OR_RETURN(v1::TrainingPlan plan,
                   PlanGiven(spec, base.has_value() ? &*base : nullptr, finished, folder, sample));
  if (trials == 0) return plan;
  *plan.mutable_spec() = request.spec();
  plan.set_trials(trials);
  for (auto* time :
       {plan.mutable_time(), plan.mutable_shortest_time(), plan.mutable_longest_time()}) {
    *time = ToProto(ToDuration(*time) * trials);
  }
  return plan;
}

absl::StatusOr<trainer::BaseVersion> Planner::OpenBase(const Principal& who,
                                                       const std::string& version,
                                                       absl::Time deadline) {
  ASSIGN_OR_RETURN(const registry::v1::ModelVersion found,
                   FindBase(registry_, who, version, deadline));
  for (const registry::v1::File& file : found.artifact().files()) {
    if (file.path() != nn::kDescriptionFile) continue;
    ASSIGN_OR_RETURN(const std::string text,
                     registry_.ReadBlob(who, file.digest(), 0, kMostDescriptionBytes, deadline));
    return trainer::DescribeBase(text);
  }
  return InvalidField("spec.base.version",
                      fmt::format("{} has no file {}", found.name(), nn::kDescriptionFile));
}

}  // namespace slipway::training
