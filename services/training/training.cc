#include "services/training/training.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "common/crypto/random.h"
#include "common/identity/tenant_content.h"
#include "common/log/log.h"
#include "fmt/format.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "services/training/clean_text.h"
#include "services/training/references.h"
#include "services/training/search/search.h"
#include "services/training/search/trial.h"
#include "services/training/spec/spec.h"

namespace slipway::training {
namespace {

constexpr int kMaxPriority = 100;
constexpr int kDefaultPageSize = 50;
constexpr int kMaxPageSize = 1000;
constexpr int kEventsAtOnce = 200;
constexpr size_t kMaxRequestIdBytes = 128;
constexpr size_t kMaxErrorBytes = 4096;
constexpr int kMadeIdTries = 5;
// "-999-6-0123ab" makes the name of a trial.
constexpr size_t kLongestSearchId = 48;
// How soon a watch notices that its watcher has left.
constexpr absl::Duration kGoneCheck = absl::Milliseconds(500);

absl::Status CheckAccess(const Principal& who, const std::string& tenant, const std::string& name) {
  return who.MayAccess(tenant) ? absl::OkStatus() : NotFound(name);
}

absl::Status CheckTrainer(const Principal& who, const JobName& name) {
  const std::string text = name.ToString();
  return who.MayAccess(name.tenant) && who.InScope(text) ? absl::OkStatus() : NotFound(text);
}

// The same for the same request, whatever order its maps are in.
std::string HashOf(const v1::CreateTrainingJobRequest& request) {
  v1::CreateTrainingJobRequest asked;
  asked.set_parent(request.parent());
  asked.set_job_id(request.job_id());
  *asked.mutable_training_job()->mutable_spec() = request.training_job().spec();
  asked.mutable_training_job()->set_priority(request.training_job().priority());
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    asked.SerializeToCodedStream(&coded);
  }
  return Sha256Hex(bytes);
}

absl::Status CheckRequestId(const std::string& id) {
  const bool fits = id.size() <= kMaxRequestIdBytes &&
                    std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  return fits ? absl::OkStatus()
              : InvalidField("request_id", fmt::format("must be at most {} printable ASCII "
                                                       "characters without spaces",
                                                       kMaxRequestIdBytes));
}

absl::StatusOr<v1::TrainingJob> AnswerRepetition(const Job& job, const std::string& hash) {
  if (job.request_hash == hash) return ToProto(job);
  return absl::AlreadyExistsError(
      fmt::format("request_id: \"{}\" was used for another request, which made {}", job.request_id,
                  job.name.ToString()));
}

// "fashion-cnn-3f09ab12": a slug, as the model's id is one.
std::string MakeJobId(const std::string& model) {
  constexpr size_t kLongestModel = 35;
  return fmt::format("{}-{}", model.substr(0, kLongestModel), RandomHex(4));
}

// The spec with its defaults filled in.
absl::StatusOr<v1::JobSpec> CheckSpec(const v1::JobSpec& spec) {
  if (spec.has_search()) {
    ASSIGN_OR_RETURN(const Search search, Search::Parse(spec));
    return search.job();
  }
  ASSIGN_OR_RETURN(Spec parsed, ParseSpec(spec));
  return std::move(parsed.job);
}

absl::StatusOr<int> CheckPageSize(int page_size) {
  if (page_size < 0) {
    return InvalidField("page_size", fmt::format("must be at least 0, got {}", page_size));
  }
  return page_size == 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize);
}

bool IsOneOf(const v1::Event& event, const google::protobuf::RepeatedPtrField<std::string>& kinds) {
  const auto* what = v1::Event::descriptor()->FindOneofByName("what");
  const auto* field = v1::Event::GetReflection()->GetOneofFieldDescriptor(event, what);
  return kinds.empty() ||
         (field != nullptr && std::find(kinds.begin(), kinds.end(), field->name()) != kinds.end());
}

absl::StatusOr<int64_t> ParsePageToken(const std::string& token) {
  if (token.empty()) return std::numeric_limits<int64_t>::max();
  int64_t before = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), before);
  if (error != std::errc() || end != token.data() + token.size() || before < 1) {
    return InvalidField("page_token", "must be the next_page_token of an earlier answer");
  }
  return before;
}

}  // namespace

Training::Training(JobStore& store, ModelRegistry& registry, const ObjectStores& objects,
                   Board& board, EventBell& bell, const Clock& clock,
                   const TrainingOptions& options)
    : store_(store),
      registry_(registry),
      objects_(objects),
      board_(board),
      bell_(bell),
      clock_(clock),
      options_(options) {}

absl::StatusOr<Job> Training::Change(const JobName& name,
                                     absl::FunctionRef<absl::Status(Job&, Effects&)> change) {
  ASSIGN_OR_RETURN(Job job, store_.Update(name, change));
  board_.Show(job);
  bell_.Ring(name, job.last_sequence);
  return job;
}

absl::StatusOr<v1::TrainingJob> Training::Submit(const Principal& who,
                                                 const v1::CreateTrainingJobRequest& request,
                                                 absl::Time deadline) {
  ASSIGN_OR_RETURN(const TenantName parent, TenantName::Parse("parent", request.parent()));
  RETURN_IF_ERROR(CheckAccess(who, parent.tenant, request.parent()));
  RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  const std::string hash = HashOf(request);
  if (!request.request_id().empty()) {
    // Before all else: a repetition is answered though its dataset has gone since.
    ASSIGN_OR_RETURN(const std::optional<Job> made,
                     store_.FindByRequestId(parent.tenant, request.request_id()));
    if (made.has_value()) return AnswerRepetition(*made, hash);
  }
  if (!request.job_id().empty()) RETURN_IF_ERROR(CheckSlug("job_id", request.job_id()));
  const int priority = request.training_job().priority();
  if (priority < -kMaxPriority || priority > kMaxPriority) {
    return InvalidField("priority", fmt::format("must be between {} and {}, got {}", -kMaxPriority,
                                                kMaxPriority, priority));
  }
  ASSIGN_OR_RETURN(v1::JobSpec spec, CheckSpec(request.training_job().spec()));
  if (spec.has_search() && request.job_id().size() > kLongestSearchId) {
    return InvalidField("job_id", fmt::format("must have at most {} characters for a search: the "
                                              "names of its trials are longer",
                                              kLongestSearchId));
  }

  Job job;
  job.name.tenant = parent.tenant;
  job.key_id = who.key_id;
  job.request_id = request.request_id();
  job.request_hash = hash;
  job.spec = std::move(spec);
  job.priority = priority;
  job.create_time = clock_.Now();
  job.attempt_start = job.create_time;
  job.attempt_seen = job.create_time;
  Principal owner = who;
  owner.tenant = parent.tenant;
  ASSIGN_OR_RETURN(job.dataset, FindDataset(registry_, objects_, owner, job.spec, deadline));
  if (job.spec.has_base()) {
    std::string& version = *job.spec.mutable_base()->mutable_version();
    ASSIGN_OR_RETURN(job.base, FindBase(registry_, owner, version, deadline));
    version = job.base->name();
  }
  Effects effects;
  Enqueue(job, job.create_time, effects);

  const bool make_id = request.job_id().empty();
  for (int tries = 1;; ++tries) {
    job.name.id = make_id ? MakeJobId(job.spec.model()) : request.job_id();
    absl::StatusOr<Job> kept = store_.Insert(job, effects, options_.max_unfinished_per_tenant);
    if (make_id && tries < kMadeIdTries && absl::IsAlreadyExists(kept.status())) continue;
    RETURN_IF_ERROR(kept.status());
    board_.Show(*kept);
    Log(Severity::kInfo, "job_submitted",
        {{"job", kept->name.ToString()}, {"tenant", kept->name.tenant}});
    // Another call with the same request id may have been quicker.
    return AnswerRepetition(*kept, hash);
  }
}

absl::StatusOr<v1::TrainingJob> Training::Get(const Principal& who, const JobName& name) {
  RETURN_IF_ERROR(CheckAccess(who, name.tenant, name.ToString()));
  ASSIGN_OR_RETURN(const Job job, store_.Get(name));
  v1::TrainingJob out = ToProto(job);
  if (!job.is_search()) return out;
  const auto search = Search::Parse(job.spec);
  // Another version of the platform has taken it.
  if (!search.ok()) return out;
  ASSIGN_OR_RETURN(const std::vector<Job> trials, store_.ListTrials(name));
  std::vector<TrialSoFar> so_far;
  for (const Job& trial : trials) {
    so_far.push_back(ToTrialSoFar(trial, *search));
    v1::Trial& shown = *out.add_trials();
    shown = trial.trial;
    shown.set_job(trial.name.ToString());
    shown.set_state(trial.state);
    shown.set_error(trial.error);
    if (so_far.back().metric.has_value()) shown.set_metric(*so_far.back().metric);
  }
  if (const auto best = BestTrial(*search, so_far); best.has_value()) {
    out.mutable_trials(static_cast<int>(*best))->set_best(true);
  }
  return out;
}

absl::StatusOr<v1::ListTrainingJobsResponse> Training::List(const Principal& who,
                                                            const TenantName& parent, int page_size,
                                                            const std::string& page_token) {
  RETURN_IF_ERROR(CheckAccess(who, parent.tenant, parent.ToString()));
  ASSIGN_OR_RETURN(const int size, CheckPageSize(page_size));
  ASSIGN_OR_RETURN(const int64_t before, ParsePageToken(page_token));
  ASSIGN_OR_RETURN(const std::vector<Job> jobs, store_.List(parent.tenant, before, size + 1));
  v1::ListTrainingJobsResponse out;
  for (const Job& job : jobs) {
    if (out.training_jobs_size() == size) {
      out.set_next_page_token(fmt::to_string(jobs[static_cast<size_t>(size) - 1].order));
      break;
    }
    *out.add_training_jobs() = ToProto(job);
  }
  return out;
}

absl::StatusOr<v1::ListTrainingJobEventsResponse> Training::ListEvents(
    const Principal& who, const JobName& name, const v1::ListTrainingJobEventsRequest& request) {
  RETURN_IF_ERROR(CheckAccess(who, name.tenant, name.ToString()));
  ASSIGN_OR_RETURN(const int size, CheckPageSize(request.page_size()));
  ASSIGN_OR_RETURN(const int64_t before, ParsePageToken(request.page_token()));
  for (int i = 0; i < request.kinds_size(); ++i) {
    const std::string& kind = request.kinds(i);
    const auto* field = v1::Event::descriptor()->FindFieldByName(kind);
    if (field == nullptr || field->containing_oneof() == nullptr) {
      return InvalidField(fmt::format("kinds[{}]", i),
                          "must be one of state_change, progress, log, checkpoint");
    }
  }
  RETURN_IF_ERROR(store_.Get(name).status());
  // Progress is thinned and log lines are limited, so that a job has no more than some thousands.
  std::deque<v1::Event> newest;
  for (int64_t after = 0;;) {
    ASSIGN_OR_RETURN(std::vector<v1::Event> events, store_.ListEvents(name, after, kEventsAtOnce));
    if (events.empty()) break;
    after = events.back().sequence();
    for (v1::Event& event : events) {
      if (event.sequence() >= before || !IsOneOf(event, request.kinds())) continue;
      newest.push_front(std::move(event));
      if (std::ssize(newest) > size + 1) newest.pop_back();
    }
  }
  v1::ListTrainingJobEventsResponse out;
  for (v1::Event& event : newest) {
    if (out.events_size() == size) {
      out.set_next_page_token(fmt::to_string(out.events(size - 1).sequence()));
      break;
    }
    *out.add_events() = std::move(event);
  }
  return out;
}

absl::StatusOr<v1::TrainingJob> Training::Ask(const Principal& who, const JobName& name,
                                              Request request, std::string_view event) {
  RETURN_IF_ERROR(CheckAccess(who, name.tenant, name.ToString()));
  ASSIGN_OR_RETURN(const Job job, Change(name, [&](Job& job, Effects& effects) -> absl::Status {
                     // Only a search knows what becomes of the others.
                     if (job.is_trial() && request != RequestCancel) {
                       return absl::FailedPreconditionError(
                           fmt::format("{} is a trial: ask {} instead", name.ToString(),
                                       JobName{name.tenant, job.search}.ToString()));
                     }
                     return request(job, clock_.Now(), effects);
                   }));
  Log(Severity::kInfo, event, {{"job", name.ToString()}, {"tenant", name.tenant}});
  return ToProto(job);
}

absl::StatusOr<v1::TrainingJob> Training::Cancel(const Principal& who, const JobName& name) {
  return Ask(who, name, RequestCancel, "job_cancel_requested");
}

absl::StatusOr<v1::TrainingJob> Training::Pause(const Principal& who, const JobName& name) {
  return Ask(who, name, RequestPause, "job_pause_requested");
}

absl::StatusOr<v1::TrainingJob> Training::Resume(const Principal& who, const JobName& name) {
  return Ask(who, name, RequestResume, "job_resume_requested");
}

absl::Status Training::Watch(const Principal& who, const JobName& name, int64_t after,
                             absl::FunctionRef<bool(const v1::Event&)> emit,
                             absl::FunctionRef<bool()> gone) {
  RETURN_IF_ERROR(CheckAccess(who, name.tenant, name.ToString()));
  struct Slot {
    std::atomic<int>& count;
    const int number = ++count;
    ~Slot() { --count; }
  } slot{watchers_};
  if (slot.number > options_.max_watchers) {
    return absl::ResourceExhaustedError(
        fmt::format("{} jobs are being watched already; try again later", options_.max_watchers));
  }

  const auto listener = bell_.Listen(name);
  ASSIGN_OR_RETURN(const Job job, store_.Get(name));
  if (after < 0 || after > job.last_sequence) {
    return InvalidField("after_sequence",
                        fmt::format("must be between 0 and {}, got {}", job.last_sequence, after));
  }
  if (job.finished() && after == job.last_sequence) return absl::OkStatus();
  for (int64_t seen = after;;) {
    ASSIGN_OR_RETURN(const std::vector<v1::Event> events,
                     store_.ListEvents(name, seen, kEventsAtOnce));
    for (const v1::Event& event : events) {
      if (!emit(event)) return absl::CancelledError("the watcher has left");
      seen = event.sequence();
      if (IsFinal(event.state_change().state())) return absl::OkStatus();
    }
    if (!events.empty()) continue;
    while (!listener->WaitBeyond(seen, kGoneCheck)) {
      if (gone()) return absl::CancelledError("the watcher has left");
      if (bell_.closed()) {
        return absl::UnavailableError(
            fmt::format("the training service stops; watch again after sequence {}", seen));
      }
    }
  }
}

absl::StatusOr<v1::ListUsageEventsResponse> Training::ListUsage(const Principal& who,
                                                                int64_t after_cursor,
                                                                int page_size) {
  if (!who.tenant.empty()) {
    return absl::FailedPreconditionError(
        "usage of all tenants is listed for the gateway itself, on no tenant's behalf");
  }
  if (after_cursor < 0) return InvalidField("after_cursor", "must be at least 0");
  ASSIGN_OR_RETURN(const int size, CheckPageSize(page_size));
  ASSIGN_OR_RETURN(const auto events, store_.ListUsage(after_cursor, size));
  v1::ListUsageEventsResponse out;
  for (const v1::UsageEvent& event : events) *out.add_events() = event;
  return out;
}

absl::StatusOr<bool> Training::EndJobs(const std::string& tenant) {
  ASSIGN_OR_RETURN(const std::vector<Job> unfinished, store_.ListUnfinished());
  bool ended = true;
  for (const Job& job : unfinished) {
    if (job.name.tenant != tenant) continue;
    ended = false;
    const absl::Status asked = Change(job.name, [&](Job& fresh, Effects& effects) {
                                 return RequestCancel(fresh, clock_.Now(), effects);
                               }).status();
    // It may have ended meanwhile.
    if (!asked.ok() && !absl::IsFailedPrecondition(asked)) return asked;
  }
  // A job leaves the board once its trainer is gone and its files are.
  const std::vector<QueuedJob> board = board_.Jobs();
  return ended && std::none_of(board.begin(), board.end(),
                               [&](const QueuedJob& job) { return job.name.tenant == tenant; });
}

absl::StatusOr<identity::v1::PurgeTenantResponse> Training::PurgeTenant(const Principal& who,
                                                                        const TenantName& tenant,
                                                                        bool remove) {
  if (who.role != Role::kOperator) return NotFound(tenant.ToString());
  ASSIGN_OR_RETURN(std::vector<JobName> jobs, store_.CloseTenant(tenant.tenant));
  bool done = false;
  if (remove) {
    ASSIGN_OR_RETURN(done, EndJobs(tenant.tenant));
    if (done) {
      RETURN_IF_ERROR(store_.RemoveTenant(tenant.tenant));
      jobs.clear();
    }
  }
  std::vector<std::string> names;
  for (const JobName& job : jobs) names.push_back(job.ToString());
  identity::v1::PurgeTenantResponse content;
  AddKind("jobs", std::move(names), content);
  content.set_done(done);
  return content;
}

absl::StatusOr<bool> Training::Report(const Principal& who, const JobName& name, int attempt,
                                      const google::protobuf::RepeatedPtrField<v1::Event>& events) {
  RETURN_IF_ERROR(CheckTrainer(who, name));
  const auto job = Change(name, [&](Job& job, Effects& effects) -> absl::Status {
    RETURN_IF_ERROR(CheckAttempt(job, attempt));
    return training::Report(job, events, clock_.Now(), effects);
  });
  if (absl::IsAborted(job.status())) return true;
  RETURN_IF_ERROR(job.status());
  return job->cancel_requested;
}

absl::Status Training::Complete(const Principal& who, const JobName& name, int attempt,
                                Result result) {
  RETURN_IF_ERROR(CheckTrainer(who, name));
  // Kept with the result: what is registered stays the same, whoever registers it.
  result.code_version = options_.code_version;
  ASSIGN_OR_RETURN(const Job job, Change(name, [&](Job& job, Effects& effects) -> absl::Status {
                     // The answer to the first call may have been lost.
                     const bool repeated =
                         job.attempts == attempt &&
                         (job.result.has_value() || job.state == v1::TrainingJob::SUCCEEDED);
                     if (repeated) return absl::OkStatus();
                     RETURN_IF_ERROR(CheckAttempt(job, attempt));
                     return AcceptResult(job, result, clock_.Now(), effects);
                   }));
  Log(Severity::kInfo, "result_accepted",
      {{"job", name.ToString()}, {"tenant", name.tenant}, {"attempt", attempt}});
  return absl::OkStatus();
}

absl::Status Training::Fail(const Principal& who, const JobName& name, int attempt,
                            const std::string& error, bool retryable) {
  RETURN_IF_ERROR(CheckTrainer(who, name));
  AttemptEnd end;
  end.reason =
      error.empty() ? "the trainer failed and gave no reason" : CleanText(error, kMaxErrorBytes);
  end.retryable = retryable;
  ASSIGN_OR_RETURN(const Job job, Change(name, [&](Job& job, Effects& effects) -> absl::Status {
                     RETURN_IF_ERROR(CheckAttempt(job, attempt));
                     const absl::Time now = clock_.Now();
                     end.ran = now - job.attempt_start;
                     return EndAttempt(job, end, options_.retry, now, effects);
                   }));
  Log(Severity::kWarning, "attempt_failed",
      {{"job", name.ToString()}, {"tenant", name.tenant}, {"attempt", attempt}, {"error", error}});
  return absl::OkStatus();
}

}  // namespace slipway::training
