#include "services/training/sql_job_store.h"

#include <utility>

#include "fmt/format.h"

namespace slipway::training {
namespace {

using sql::Blob;
using sql::Params;
using sql::Row;
using sql::Transaction;
using sql::Value;
using v1::TrainingJob;

// Numbers of states are those of the proto. Times are microseconds since 1970, durations
// microseconds. Events and usage name their job by its order, which never changes.
const std::vector<sql::Migration>& Migrations() {
  static const auto* const migrations = new std::vector<sql::Migration>{
      {1, "jobs, events, usage", R"(
        CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
        INSERT INTO counters (name, value) VALUES ('job_order', 0);
        INSERT INTO counters (name, value) VALUES ('usage_cursor', 0);
        CREATE TABLE jobs (
          job_order BIGINT PRIMARY KEY,
          tenant TEXT NOT NULL,
          id TEXT NOT NULL,
          key_id TEXT NOT NULL,
          request_id TEXT,
          request_hash TEXT NOT NULL,
          spec BYTEA NOT NULL,
          dataset BYTEA NOT NULL,
          priority BIGINT NOT NULL,
          state BIGINT NOT NULL,
          create_time BIGINT NOT NULL,
          start_time BIGINT,
          end_time BIGINT,
          attempts BIGINT NOT NULL,
          failures BIGINT NOT NULL,
          not_before BIGINT NOT NULL,
          attempt_start BIGINT NOT NULL,
          attempt_seen BIGINT NOT NULL,
          used BIGINT NOT NULL,
          cancel_requested BIGINT NOT NULL,
          result BYTEA,
          code_version TEXT NOT NULL,
          progress BYTEA NOT NULL,
          metrics BYTEA NOT NULL,
          model_version TEXT NOT NULL,
          error TEXT NOT NULL,
          last_sequence BIGINT NOT NULL,
          progress_events BIGINT NOT NULL,
          log_lines BIGINT NOT NULL
        );
        CREATE UNIQUE INDEX jobs_by_name ON jobs (tenant, id);
        CREATE UNIQUE INDEX jobs_by_request ON jobs (tenant, request_id);
        CREATE INDEX jobs_by_tenant ON jobs (tenant, job_order);
        CREATE INDEX jobs_by_state ON jobs (state, tenant);
        CREATE TABLE events (
          job_order BIGINT NOT NULL,
          sequence BIGINT NOT NULL,
          progress_number BIGINT,
          event BYTEA NOT NULL,
          PRIMARY KEY (job_order, sequence)
        );
        CREATE INDEX events_by_progress ON events (job_order, progress_number);
        CREATE TABLE usage (cursor_number BIGINT PRIMARY KEY, usage BYTEA NOT NULL);
      )"},
      {2, "closed tenants", "CREATE TABLE closed_tenants (tenant TEXT PRIMARY KEY)"},
      {3, "paused jobs", "ALTER TABLE jobs ADD COLUMN pause_requested BIGINT NOT NULL DEFAULT 0"},
      {4, "base versions", "ALTER TABLE jobs ADD COLUMN base BYTEA"},
      {5, "trials", R"(
        ALTER TABLE jobs ADD COLUMN search TEXT NOT NULL DEFAULT '';
        ALTER TABLE jobs ADD COLUMN trial BYTEA;
        CREATE INDEX jobs_by_search ON jobs (tenant, search, job_order);
      )"},
  };
  return *migrations;
}

// A condition: the job is not over.
std::string Unfinished() {
  return fmt::format("state IN ({:d}, {:d}, {:d})", TrainingJob::QUEUED, TrainingJob::RUNNING,
                     TrainingJob::PAUSED);
}

constexpr std::string_view kColumns =
    "job_order, tenant, id, key_id, request_id, request_hash, spec, dataset, priority, state, "
    "create_time, start_time, end_time, attempts, failures, not_before, attempt_start, "
    "attempt_seen, used, cancel_requested, result, progress, metrics, model_version, error, "
    "last_sequence, progress_events, log_lines, code_version, pause_requested, base, search, "
    "trial";

int64_t ToMicros(absl::Time time) { return absl::ToUnixMicros(time); }

std::optional<int64_t> OptionalMicros(const std::optional<absl::Time>& time) {
  return time.has_value() ? std::optional(ToMicros(*time)) : std::nullopt;
}

std::optional<absl::Time> OptionalTime(const Row& row, size_t i) {
  const auto micros = row.GetOptionalInt(i);
  return micros.has_value() ? std::optional(absl::FromUnixMicros(*micros)) : std::nullopt;
}

// not_before is the infinite past for a job that never waited.
int64_t NotBeforeMicros(absl::Time time) {
  return time == absl::InfinitePast() ? 0 : ToMicros(time);
}

// A result and metrics are kept as the message that brought them.
v1::CompleteAttemptRequest ToMessage(const Result& result) {
  v1::CompleteAttemptRequest out;
  *out.mutable_artifact() = result.artifact;
  *out.mutable_signature() = result.signature;
  out.mutable_metrics()->insert(result.metrics.begin(), result.metrics.end());
  for (const std::string& label : result.labels) out.add_labels(label);
  return out;
}

std::map<std::string, double> MetricsOf(const v1::CompleteAttemptRequest& message) {
  return {message.metrics().begin(), message.metrics().end()};
}

Blob Bytes(const google::protobuf::MessageLite& message) { return {message.SerializeAsString()}; }

Blob MetricsBytes(const std::map<std::string, double>& metrics) {
  v1::CompleteAttemptRequest out;
  out.mutable_metrics()->insert(metrics.begin(), metrics.end());
  return Bytes(out);
}

std::optional<Blob> ResultBytes(const Job& job) {
  return job.result.has_value() ? std::optional(Bytes(ToMessage(*job.result))) : std::nullopt;
}

std::string CodeVersion(const Job& job) {
  return job.result.has_value() ? job.result->code_version : std::string();
}

std::optional<std::string> NullIfEmpty(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

template <class Message>
absl::Status ParseColumn(const Row& row, size_t i, Message& out) {
  if (out.ParseFromString(row.GetBlob(i))) return absl::OkStatus();
  return absl::DataLossError(fmt::format("column {} of job {} cannot be read", i, row.GetInt(0)));
}

absl::StatusOr<Job> ReadJob(const Row& row) {
  Job job;
  job.order = row.GetInt(0);
  job.name = {row.GetString(1), row.GetString(2)};
  job.key_id = row.GetString(3);
  job.request_id = row.GetOptionalString(4).value_or("");
  job.request_hash = row.GetString(5);
  RETURN_IF_ERROR(ParseColumn(row, 6, job.spec));
  RETURN_IF_ERROR(ParseColumn(row, 7, job.dataset));
  job.priority = static_cast<int>(row.GetInt(8));
  job.state = static_cast<TrainingJob::State>(row.GetInt(9));
  job.create_time = absl::FromUnixMicros(row.GetInt(10));
  job.start_time = OptionalTime(row, 11);
  job.end_time = OptionalTime(row, 12);
  job.attempts = static_cast<int>(row.GetInt(13));
  job.failures = static_cast<int>(row.GetInt(14));
  job.not_before =
      row.GetInt(15) == 0 ? absl::InfinitePast() : absl::FromUnixMicros(row.GetInt(15));
  job.attempt_start = absl::FromUnixMicros(row.GetInt(16));
  job.attempt_seen = absl::FromUnixMicros(row.GetInt(17));
  job.used = absl::Microseconds(row.GetInt(18));
  job.cancel_requested = row.GetBool(19);
  if (!row.IsNull(20)) {
    v1::CompleteAttemptRequest message;
    RETURN_IF_ERROR(ParseColumn(row, 20, message));
    job.result = Result{message.artifact(),
                        message.signature(),
                        MetricsOf(message),
                        {message.labels().begin(), message.labels().end()},
                        row.GetString(28)};
  }
  RETURN_IF_ERROR(ParseColumn(row, 21, job.progress));
  v1::CompleteAttemptRequest metrics;
  RETURN_IF_ERROR(ParseColumn(row, 22, metrics));
  job.metrics = MetricsOf(metrics);
  job.model_version = row.GetString(23);
  job.error = row.GetString(24);
  job.last_sequence = row.GetInt(25);
  job.progress_events = row.GetInt(26);
  job.log_lines = row.GetInt(27);
  job.pause_requested = row.GetBool(29);
  if (!row.IsNull(30)) RETURN_IF_ERROR(ParseColumn(row, 30, job.base.emplace()));
  job.search = row.GetString(31);
  if (job.is_trial()) RETURN_IF_ERROR(ParseColumn(row, 32, job.trial));
  return job;
}

absl::StatusOr<std::vector<Job>> QueryJobs(Transaction& tx, std::string_view rest,
                                           const Params& params) {
  std::vector<Job> jobs;
  RETURN_IF_ERROR(tx.ForEach(fmt::format("SELECT {} FROM jobs {}", kColumns, rest), params,
                             [&](const Row& row) -> absl::Status {
                               ASSIGN_OR_RETURN(Job job, ReadJob(row));
                               jobs.push_back(std::move(job));
                               return absl::OkStatus();
                             }));
  return jobs;
}

absl::StatusOr<std::optional<Job>> QueryJob(Transaction& tx, std::string_view rest,
                                            const Params& params) {
  ASSIGN_OR_RETURN(std::vector<Job> jobs, QueryJobs(tx, rest, params));
  if (jobs.empty()) return std::nullopt;
  return std::move(jobs.front());
}

// The row of the counter is locked until the transaction ends, so that numbers become visible in
// their order and without gaps.
absl::StatusOr<int64_t> NextNumber(Transaction& tx, std::string_view counter) {
  RETURN_IF_ERROR(
      tx.Execute("UPDATE counters SET value = value + 1 WHERE name = ?", {counter}).status());
  ASSIGN_OR_RETURN(const auto row,
                   tx.QueryOne("SELECT value FROM counters WHERE name = ?", {counter}));
  if (!row.has_value()) {
    return absl::InternalError(fmt::format("the counter {} is missing", counter));
  }
  return row->GetInt(0);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqlJobStore>> SqlJobStore::Create(sql::Database& database,
                                                                 const Thinning& thinning) {
  RETURN_IF_ERROR(database.Migrate(Migrations()));
  return std::unique_ptr<SqlJobStore>(new SqlJobStore(database, thinning));
}

absl::StatusOr<Job> SqlJobStore::Insert(const Job& job, const Effects& effects,
                                        int64_t max_unfinished) {
  Job out;
  RETURN_IF_ERROR(database_.Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(const auto closed, tx.QueryOne("SELECT 1 FROM closed_tenants WHERE tenant = ?",
                                                    {job.name.tenant}));
    if (closed.has_value()) return NotFound(TenantName{job.name.tenant}.ToString());
    if (!job.request_id.empty()) {
      ASSIGN_OR_RETURN(auto same, QueryJob(tx, "WHERE tenant = ? AND request_id = ?",
                                           {job.name.tenant, job.request_id}));
      if (same.has_value()) {
        out = *std::move(same);
        return absl::OkStatus();
      }
    }
    ASSIGN_OR_RETURN(const auto taken, tx.QueryOne("SELECT 1 FROM jobs WHERE tenant = ? AND id = ?",
                                                   {job.name.tenant, job.name.id}));
    if (taken.has_value()) {
      return absl::AlreadyExistsError(fmt::format("{} exists already", job.name.ToString()));
    }
    ASSIGN_OR_RETURN(const auto unfinished, tx.QueryOne("SELECT COUNT(*) FROM jobs WHERE " +
                                                            Unfinished() + " AND tenant = ?",
                                                        {job.name.tenant}));
    if (unfinished->GetInt(0) >= max_unfinished) {
      return absl::ResourceExhaustedError(
          fmt::format("tenants/{} has {} jobs that are not over, its limit is {}", job.name.tenant,
                      unfinished->GetInt(0), max_unfinished));
    }
    out = job;
    ASSIGN_OR_RETURN(out.order, NextNumber(tx, "job_order"));
    RETURN_IF_ERROR(
        tx.Execute(fmt::format("INSERT INTO jobs ({}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
                               "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                               kColumns),
                   {out.order,
                    out.name.tenant,
                    out.name.id,
                    out.key_id,
                    NullIfEmpty(out.request_id),
                    out.request_hash,
                    Bytes(out.spec),
                    Bytes(out.dataset),
                    out.priority,
                    static_cast<int>(out.state),
                    ToMicros(out.create_time),
                    OptionalMicros(out.start_time),
                    OptionalMicros(out.end_time),
                    out.attempts,
                    out.failures,
                    NotBeforeMicros(out.not_before),
                    ToMicros(out.attempt_start),
                    ToMicros(out.attempt_seen),
                    absl::ToInt64Microseconds(out.used),
                    out.cancel_requested,
                    Value(),
                    Bytes(out.progress),
                    MetricsBytes(out.metrics),
                    out.model_version,
                    out.error,
                    out.last_sequence,
                    out.progress_events,
                    out.log_lines,
                    CodeVersion(out),
                    out.pause_requested,
                    out.base.has_value() ? std::optional(Bytes(*out.base)) : std::nullopt,
                    out.search,
                    out.is_trial() ? std::optional(Bytes(out.trial)) : std::nullopt})
            .status());
    return WriteEffects(tx, out, effects);
  }));
  return out;
}

absl::StatusOr<Job> SqlJobStore::Get(const JobName& name) {
  std::optional<Job> job;
  RETURN_IF_ERROR(database_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(job, QueryJob(tx, "WHERE tenant = ? AND id = ?", {name.tenant, name.id}));
    return absl::OkStatus();
  }));
  if (!job.has_value()) return NotFound(name.ToString());
  return *std::move(job);
}

absl::StatusOr<std::optional<Job>> SqlJobStore::FindByRequestId(std::string_view tenant,
                                                                std::string_view request_id) {
  std::optional<Job> job;
  RETURN_IF_ERROR(database_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(job,
                     QueryJob(tx, "WHERE tenant = ? AND request_id = ?", {tenant, request_id}));
    return absl::OkStatus();
  }));
  return job;
}

absl::StatusOr<std::vector<Job>> SqlJobStore::List(std::string_view tenant, int64_t before,
                                                   int limit) {
  std::vector<Job> jobs;
  RETURN_IF_ERROR(database_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(jobs, QueryJobs(tx,
                                     "WHERE tenant = ? AND search = '' AND job_order < ? "
                                     "ORDER BY job_order DESC LIMIT ?",
                                     {tenant, before, limit}));
    return absl::OkStatus();
  }));
  return jobs;
}

absl::StatusOr<std::vector<Job>> SqlJobStore::ListTrials(const JobName& search) {
  std::vector<Job> jobs;
  RETURN_IF_ERROR(database_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(jobs, QueryJobs(tx, "WHERE tenant = ? AND search = ? ORDER BY job_order",
                                     {search.tenant, search.id}));
    return absl::OkStatus();
  }));
  return jobs;
}

absl::StatusOr<std::vector<Job>> SqlJobStore::ListSucceeded(int limit) {
  std::vector<Job> jobs;
  RETURN_IF_ERROR(database_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(jobs, QueryJobs(tx, "WHERE state = ? ORDER BY job_order DESC LIMIT ?",
                                     {static_cast<int>(TrainingJob::SUCCEEDED), limit}));
    return absl::OkStatus();
  }));
  return jobs;
}

absl::StatusOr<std::vector<Job>> SqlJobStore::ListUnfinished() {
  std::vector<Job> jobs;
  RETURN_IF_ERROR(database_.Read([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(jobs, QueryJobs(tx, "WHERE " + Unfinished() + " ORDER BY job_order", {}));
    return absl::OkStatus();
  }));
  return jobs;
}

absl::StatusOr<Job> SqlJobStore::Update(const JobName& name,
                                        absl::FunctionRef<absl::Status(Job&, Effects&)> change) {
  Job out;
  RETURN_IF_ERROR(database_.Write([&](Transaction& tx) -> absl::Status {
    ASSIGN_OR_RETURN(auto job, QueryJob(tx, "WHERE tenant = ? AND id = ?", {name.tenant, name.id}));
    if (!job.has_value()) return NotFound(name.ToString());
    Effects effects;
    const std::string dataset = job->dataset.name();
    RETURN_IF_ERROR(change(*job, effects));
    if (job->dataset.name() != dataset) {
      RETURN_IF_ERROR(tx.Execute("UPDATE jobs SET dataset = ? WHERE job_order = ?",
                                 {Bytes(job->dataset), job->order})
                          .status());
    }
    // What identifies a job and what it was asked to do never change.
    RETURN_IF_ERROR(
        tx.Execute("UPDATE jobs SET state = ?, start_time = ?, end_time = ?, attempts = ?, "
                   "failures = ?, not_before = ?, attempt_start = ?, attempt_seen = ?, used = ?, "
                   "cancel_requested = ?, result = ?, progress = ?, metrics = ?, "
                   "model_version = ?, error = ?, last_sequence = ?, progress_events = ?, "
                   "log_lines = ?, code_version = ?, pause_requested = ? WHERE job_order = ?",
                   {static_cast<int>(job->state),
                    OptionalMicros(job->start_time),
                    OptionalMicros(job->end_time),
                    job->attempts,
                    job->failures,
                    NotBeforeMicros(job->not_before),
                    ToMicros(job->attempt_start),
                    ToMicros(job->attempt_seen),
                    absl::ToInt64Microseconds(job->used),
                    job->cancel_requested,
                    ResultBytes(*job),
                    Bytes(job->progress),
                    MetricsBytes(job->metrics),
                    job->model_version,
                    job->error,
                    job->last_sequence,
                    job->progress_events,
                    job->log_lines,
                    CodeVersion(*job),
                    job->pause_requested,
                    job->order})
            .status());
    RETURN_IF_ERROR(WriteEffects(tx, *job, effects));
    out = *std::move(job);
    return absl::OkStatus();
  }));
  return out;
}

absl::Status SqlJobStore::WriteEffects(Transaction& tx, const Job& job, const Effects& effects) {
  int64_t progress_left = 0;
  for (const v1::Event& event : effects.events) progress_left += event.has_progress();
  const int64_t first_new = job.progress_events - progress_left + 1;
  for (const v1::Event& event : effects.events) {
    std::optional<int64_t> number;
    if (event.has_progress()) number = job.progress_events - --progress_left;
    RETURN_IF_ERROR(tx.Execute("INSERT INTO events (job_order, sequence, progress_number, event) "
                               "VALUES (?, ?, ?, ?)",
                               {job.order, event.sequence(), number, Bytes(event)})
                        .status());
  }
  if (job.progress_events >= first_new) {
    // Only those that grew old just now are looked at.
    RETURN_IF_ERROR(tx.Execute("DELETE FROM events WHERE job_order = ? AND progress_number > ? "
                               "AND progress_number <= ? AND progress_number % ? <> 0",
                               {job.order, first_new - 1 - thinning_.keep_newest,
                                job.progress_events - thinning_.keep_newest, thinning_.keep_every})
                        .status());
  }
  if (effects.usage.has_value()) {
    v1::UsageEvent usage = *effects.usage;
    ASSIGN_OR_RETURN(const int64_t cursor, NextNumber(tx, "usage_cursor"));
    usage.set_cursor(cursor);
    RETURN_IF_ERROR(
        tx.Execute("INSERT INTO usage (cursor_number, usage) VALUES (?, ?)", {cursor, Bytes(usage)})
            .status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<v1::Event>> SqlJobStore::ListEvents(const JobName& name, int64_t after,
                                                               int limit) {
  std::vector<v1::Event> events;
  RETURN_IF_ERROR(database_.Read([&](Transaction& tx) -> absl::Status {
    events.clear();
    return tx.ForEach(
        "SELECT event FROM events WHERE job_order = "
        "(SELECT job_order FROM jobs WHERE tenant = ? AND id = ?) "
        "AND sequence > ? ORDER BY sequence LIMIT ?",
        {name.tenant, name.id, after, limit}, [&](const Row& row) -> absl::Status {
          if (events.emplace_back().ParseFromString(row.GetBlob(0))) return absl::OkStatus();
          return absl::DataLossError(fmt::format("an event of {} cannot be read", name.ToString()));
        });
  }));
  return events;
}

absl::StatusOr<std::vector<v1::UsageEvent>> SqlJobStore::ListUsage(int64_t after_cursor,
                                                                   int limit) {
  std::vector<v1::UsageEvent> usage;
  RETURN_IF_ERROR(database_.Read([&](Transaction& tx) -> absl::Status {
    usage.clear();
    return tx.ForEach(
        "SELECT usage FROM usage WHERE cursor_number > ? ORDER BY cursor_number LIMIT ?",
        {after_cursor, limit}, [&](const Row& row) -> absl::Status {
          if (usage.emplace_back().ParseFromString(row.GetBlob(0))) return absl::OkStatus();
          return absl::DataLossError("a usage event cannot be read");
        });
  }));
  return usage;
}

absl::StatusOr<std::vector<JobName>> SqlJobStore::CloseTenant(const std::string& tenant) {
  std::vector<JobName> jobs;
  // One transaction: a job that is made at the same time is either refused or among these.
  RETURN_IF_ERROR(database_.Write([&](Transaction& tx) -> absl::Status {
    jobs.clear();
    RETURN_IF_ERROR(
        tx.Execute("INSERT INTO closed_tenants (tenant) VALUES (?) ON CONFLICT (tenant) DO NOTHING",
                   {tenant})
            .status());
    return tx.ForEach("SELECT id FROM jobs WHERE tenant = ?", {tenant}, [&](const Row& row) {
      jobs.push_back({tenant, row.GetString(0)});
      return absl::OkStatus();
    });
  }));
  return jobs;
}

absl::Status SqlJobStore::RemoveTenant(const std::string& tenant) {
  return database_.Write([&](Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(tx.Execute("DELETE FROM events WHERE job_order IN "
                               "(SELECT job_order FROM jobs WHERE tenant = ?)",
                               {tenant})
                        .status());
    return tx.Execute("DELETE FROM jobs WHERE tenant = ?", {tenant}).status();
  });
}

}  // namespace slipway::training
