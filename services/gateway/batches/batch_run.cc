#include "services/gateway/batches/batch_run.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "common/crypto/hash.h"
#include "common/log/log.h"
#include "common/proto_time/proto_time.h"
#include "fmt/format.h"

namespace slipway::gateway {
namespace {

// Results that are stored at once where nothing is called for them.
constexpr size_t kStoreLines = 500;
// Of an output file in memory.
constexpr int64_t kWriteBytes = 1 << 20;

bool IsInputsFault(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsFailedPrecondition(status) ||
         absl::IsDataLoss(status) || absl::IsPermissionDenied(status);
}

void AddError(std::string_view code, const absl::Status& why, v1::Batch& batch) {
  v1::Batch::Error& error = *batch.add_errors();
  error.set_code(std::string(code));
  error.set_message(std::string(why.message()));
}

}  // namespace

BatchRun::BatchRun(const Parts& parts, BatchWork work)
    : parts_(parts),
      work_(std::move(work)),
      begun_at_(parts.clock.Monotonic()),
      lease_kept_(parts.clock.Now()) {}

Principal BatchRun::who() const {
  Principal who;
  who.tenant = work_.lease.name.tenant;
  who.key_id = work_.batch.key_id();
  who.role = Role::kDeveloper;
  return who;
}

bool BatchRun::stopping() {
  MutexLock lock(mutex_);
  return stopping_;
}

void BatchRun::Stop() {
  MutexLock lock(mutex_);
  stopping_ = true;
  changed_.SignalAll();
}

absl::Status BatchRun::Run() {
  const absl::Status status = Advance();
  BreakOff();
  if (status.ok() || absl::IsAborted(status)) return status;
  Log(Severity::kWarning, "batch_run_failed",
      {{"batch", work_.lease.name.ToString()}, {"error", status}});
  return Release(/*pause=*/true);
}

absl::Status BatchRun::Advance() {
  if (!work_.batch.has_start_time() && work_.outcome == v1::Batch::STATE_UNSPECIFIED) {
    RETURN_IF_ERROR(ReadInput());
    if (work_.batch.has_end_time()) return absl::OkStatus();
  }
  if (work_.outcome == v1::Batch::STATE_UNSPECIFIED) {
    RETURN_IF_ERROR(CallLines());
    if (work_.outcome == v1::Batch::STATE_UNSPECIFIED) {
      return Release(/*pause=*/refused_.has_value());
    }
  }
  return WriteFiles();
}

absl::StatusOr<std::unique_ptr<LineReader>> BatchRun::OpenInput() {
  ASSIGN_OR_RETURN(auto source, parts_.files.Open(who(), work_.batch.input_dataset(),
                                                  work_.mark.offset_bytes, kMaxBatchBytes));
  return std::make_unique<LineReader>(std::move(source), work_.mark);
}

absl::Status BatchRun::ReadInput() {
  if (work_.batch.state() == v1::Batch::CANCELLING) {
    return EndLines(v1::Batch::CANCELLED, absl::OkStatus(), "");
  }
  if (parts_.clock.Now() >= FromTimestamp(work_.batch.expire_time())) {
    return EndLines(v1::Batch::EXPIRED, absl::OkStatus(), "");
  }
  const absl::Status may = parts_.caller.Check(work_.batch);
  if (absl::IsUnauthenticated(may)) return FailBatch("key_not_usable", may);
  if (absl::IsNotFound(may)) return FailBatch("model_not_found", may);
  absl::StatusOr<std::unique_ptr<LineReader>> reader = OpenInput();
  int64_t total = 0;
  absl::Status read = reader.status();
  if (read.ok()) read = ReadLines(**reader, total);
  if (IsInputsFault(read)) return FailBatch("invalid_input_file", read);
  RETURN_IF_ERROR(read);
  if (total == 0) {
    return FailBatch("empty_file", absl::InvalidArgumentError("the input file has no line"));
  }
  ASSIGN_OR_RETURN(
      work_.batch,
      parts_.store.Change(work_.lease, v1::Batch::STATE_UNSPECIFIED, [&](v1::Batch& batch) {
        batch.set_total_lines(total);
        *batch.mutable_start_time() = ToTimestamp(parts_.clock.Now());
        if (batch.state() == v1::Batch::VALIDATING) {
          batch.set_state(v1::Batch::IN_PROGRESS);
        }
      }));
  return absl::OkStatus();
}

absl::Status BatchRun::ReadLines(LineReader& reader, int64_t& total) {
  std::unordered_set<std::string> ids;
  for (;;) {
    ASSIGN_OR_RETURN(const std::optional<InputLine> line, reader.Next());
    if (!line || stopping()) break;
    if (++total > kMaxBatchLines) {
      return absl::FailedPreconditionError(
          fmt::format("the input file has more than {} lines", kMaxBatchLines));
    }
    std::string custom_id;
    absl::Status status = ReadBatchCall(*line, work_.batch.endpoint(), custom_id).status();
    std::string_view code = "invalid_line";
    if (!custom_id.empty() && !ids.insert(custom_id).second) {
      code = "duplicate_custom_id";
      status = InvalidField("custom_id", "is that of a line before");
    }
    if (!status.ok()) {
      results_.push_back({.line = line->number,
                          .failed = true,
                          .json = RefusedLine(id(), custom_id, line->number, code,
                                              std::string(status.message()))});
    }
    if (results_.size() >= kStoreLines) RETURN_IF_ERROR(Store(work_.mark));
    RETURN_IF_ERROR(KeepLease());
  }
  if (stopping()) return absl::UnavailableError("the gateway is stopping");
  return results_.empty() ? absl::OkStatus() : Store(work_.mark);
}

absl::Status BatchRun::CallLines() {
  ASSIGN_OR_RETURN(begun_, parts_.store.Begun(id(), work_.mark.line));
  absl::StatusOr<std::unique_ptr<LineReader>> opened = OpenInput();
  if (IsInputsFault(opened.status())) {
    return EndLines(v1::Batch::FAILED, opened.status(), "invalid_input_file");
  }
  RETURN_IF_ERROR(opened.status());
  LineReader& reader = **opened;
  do {
    if (parts_.clock.Now() >= FromTimestamp(work_.batch.expire_time())) {
      given_up_ = {v1::Batch::EXPIRED, "batch_expired",
                   "the batch's time was over before this line's turn"};
    } else if (absl::IsUnauthenticated(parts_.caller.Check(work_.batch))) {
      given_up_ = {v1::Batch::FAILED, "key_not_usable",
                   "the key of the batch cannot be used any more"};
    }
    RETURN_IF_ERROR(BeginLines(reader));
    WaitForLine();
    Collect();
    if (!results_.empty()) {
      RETURN_IF_ERROR(Store(Mark(reader)));
    } else {
      RETURN_IF_ERROR(KeepLease());
    }
  } while (!flying_.empty() || (!input_ended_ && MayBegin()));

  if (input_ended_ && !refused_ && !waiting_) {
    if (!given_up_) return EndLines(v1::Batch::COMPLETED, absl::OkStatus(), "");
    return EndLines(given_up_->outcome,
                    given_up_->outcome == v1::Batch::FAILED
                        ? absl::UnauthenticatedError(given_up_->message)
                        : absl::OkStatus(),
                    given_up_->code);
  }
  if (work_.batch.state() == v1::Batch::CANCELLING) {
    return EndLines(v1::Batch::CANCELLED, absl::OkStatus(), "");
  }
  return absl::OkStatus();
}

bool BatchRun::MayBegin() {
  return !refused_ && work_.batch.state() != v1::Batch::CANCELLING && !stopping() &&
         parts_.clock.Monotonic() - begun_at_ < parts_.options.turn;
}

absl::Status BatchRun::BeginLines(LineReader& reader) {
  while (MayBegin() && results_.size() < kStoreLines && flying_.size() < parts_.options.window) {
    if (alone_ && !flying_.empty()) break;
    alone_ = false;
    std::optional<InputLine> line = std::exchange(waiting_, std::nullopt);
    if (!line) {
      ASSIGN_OR_RETURN(line, reader.Next());
    }
    if (!line) {
      input_ended_ = true;
      break;
    }
    const auto known = begun_.find(line->number);
    const int attempts = known == begun_.end() ? 0 : known->second;
    if (attempts < 0) continue;
    // A line that may have brought its worker down takes no other down with it again.
    if (attempts > 0 && !flying_.empty()) {
      waiting_ = std::move(line);
      break;
    }
    alone_ = attempts > 0;
    BeginLine(*line, attempts);
  }
  return absl::OkStatus();
}

void BatchRun::BeginLine(const InputLine& line, int attempts) {
  std::string custom_id;
  absl::StatusOr<BatchCall> call = ReadBatchCall(line, work_.batch.endpoint(), custom_id);
  if (given_up_ || !call.ok()) {
    results_.push_back({.line = line.number,
                        .failed = true,
                        .json = given_up_
                                    ? RefusedLine(id(), custom_id, line.number, given_up_->code,
                                                  given_up_->message)
                                    : RefusedLine(id(), custom_id, line.number, "invalid_line",
                                                  std::string(call.status().message()))});
    return;
  }
  Flying& flying = flying_[line.number];
  flying = {
      .begin = line.begin, .custom_id = std::move(custom_id), .attempts = attempts, .call = {}};
  flying.call = parts_.caller.Start(work_.batch, LineRequestId(id(), line.number),
                                    std::move(call->body), [this, number = line.number] {
                                      // Within the lock: this may be gone right after it.
                                      MutexLock lock(mutex_);
                                      landed_.push_back(number);
                                      changed_.SignalAll();
                                    });
}

void BatchRun::WaitForLine() {
  if (flying_.empty() || !results_.empty()) return;
  bool stop = false;
  {
    MutexLock lock(mutex_);
    if (landed_.empty() && !stopping_) {
      changed_.WaitFor(mutex_, absl::ToChronoNanoseconds(parts_.options.lease / 3));
    }
    stop = stopping_;
  }
  if (stop) BreakOff();
}

void BatchRun::BreakOff() {
  for (auto& [number, flying] : flying_) flying.call->Cancel();
  MutexLock lock(mutex_);
  while (landed_.size() < flying_.size()) changed_.Wait(mutex_);
}

void BatchRun::Collect() {
  std::vector<int64_t> landed;
  {
    MutexLock lock(mutex_);
    landed.swap(landed_);
  }
  for (const int64_t number : landed) {
    Flying flying = std::move(flying_.extract(number).mapped());
    const LineCall::Answer answer = flying.call->Take();
    const int attempts = flying.attempts + (answer.retry == LineCall::Answer::Retry::kBroken);
    const bool again = answer.retry == LineCall::Answer::Retry::kRefused ||
                       (answer.retry == LineCall::Answer::Retry::kBroken &&
                        attempts < parts_.options.max_attempts);
    if (again) {
      if (!refused_ || flying.begin.line < refused_->line) refused_ = flying.begin;
      if (attempts > flying.attempts)
        results_.push_back({.line = number, .json = {}, .attempts = attempts});
      continue;
    }
    results_.push_back(
        {.line = number,
         .failed = answer.http_code != 200,
         .json = AnsweredLine(id(), flying.custom_id, number, answer.http_code, answer.body),
         .attempts = attempts});
    unsettled_.push_back(std::move(flying.call));
  }
}

BatchMark BatchRun::Mark(const LineReader& reader) const {
  BatchMark mark = reader.next();
  const auto before = [&](const BatchMark& other) {
    if (other.line < mark.line) mark = other;
  };
  if (!flying_.empty()) before(flying_.begin()->second.begin);
  if (waiting_) before(waiting_->begin);
  if (refused_) before(*refused_);
  return mark;
}

absl::Status BatchRun::Store(const BatchMark& mark) {
  ASSIGN_OR_RETURN(work_.batch, parts_.store.Store(work_.lease, results_, mark,
                                                   parts_.clock.Now() + parts_.options.lease));
  lease_kept_ = parts_.clock.Now();
  work_.mark = mark;
  for (const LineResult& result : results_) moved_ = moved_ || !result.json.empty();
  results_.clear();
  for (const auto& call : unsettled_) call->Settle();
  unsettled_.clear();
  return absl::OkStatus();
}

absl::Status BatchRun::KeepLease() {
  if (parts_.clock.Now() - lease_kept_ < parts_.options.lease / 3) return absl::OkStatus();
  ASSIGN_OR_RETURN(work_.batch, parts_.store.Store(work_.lease, {}, work_.mark,
                                                   parts_.clock.Now() + parts_.options.lease));
  lease_kept_ = parts_.clock.Now();
  return absl::OkStatus();
}

absl::Status BatchRun::EndLines(v1::Batch::State outcome, const absl::Status& why,
                                std::string_view code) {
  ASSIGN_OR_RETURN(work_.batch, parts_.store.Change(work_.lease, outcome, [&](v1::Batch& batch) {
    if (batch.state() != v1::Batch::CANCELLING) {
      batch.set_state(v1::Batch::FINALIZING);
    }
    *batch.mutable_finalize_time() = ToTimestamp(parts_.clock.Now());
    if (!why.ok()) AddError(code, why, batch);
  }));
  work_.outcome = outcome;
  return absl::OkStatus();
}

absl::Status BatchRun::FailBatch(std::string_view code, const absl::Status& why) {
  ASSIGN_OR_RETURN(work_.batch, parts_.store.End(work_.lease, [&](v1::Batch& batch) {
    batch.set_state(v1::Batch::FAILED);
    *batch.mutable_end_time() = ToTimestamp(parts_.clock.Now());
    AddError(code, why, batch);
  }));
  Log(Severity::kInfo, "batch_ended",
      {{"batch", work_.lease.name.ToString()}, {"state", "FAILED"}, {"error", why}});
  return absl::OkStatus();
}

absl::StatusOr<std::string> BatchRun::WriteFile(bool failed) {
  const std::string_view kind = failed ? "errors" : "output";
  // The same for each who tries.
  const std::string file =
      fmt::format("file-{:012x}{}", absl::ToUnixMillis(FromTimestamp(work_.batch.finalize_time())),
                  Sha256Hex(fmt::format("{} {}", id(), kind)).substr(0, 16));
  int64_t line = 0;
  return parts_.files.Write(who(), {.id = file, .filename = fmt::format("{}_{}.jsonl", id(), kind)},
                            [&]() -> absl::StatusOr<std::string> {
                              RETURN_IF_ERROR(KeepLease());
                              if (stopping())
                                return absl::UnavailableError("the gateway is stopping");
                              ASSIGN_OR_RETURN(
                                  const std::vector<LineResult> results,
                                  parts_.store.Results(id(), failed, line, kWriteBytes));
                              std::string piece;
                              for (const LineResult& result : results) piece += result.json + "\n";
                              if (!results.empty()) line = results.back().line;
                              return piece;
                            });
}

absl::Status BatchRun::WriteFiles() {
  std::string output;
  std::string errors;
  if (work_.batch.completed_lines() > 0) {
    ASSIGN_OR_RETURN(output, WriteFile(/*failed=*/false));
  }
  if (work_.batch.failed_lines() > 0) {
    ASSIGN_OR_RETURN(errors, WriteFile(/*failed=*/true));
  }
  ASSIGN_OR_RETURN(work_.batch, parts_.store.End(work_.lease, [&](v1::Batch& batch) {
    batch.set_state(work_.outcome);
    batch.set_output_dataset(output);
    batch.set_error_dataset(errors);
    *batch.mutable_end_time() = ToTimestamp(parts_.clock.Now());
  }));
  Log(Severity::kInfo, "batch_ended",
      {{"batch", work_.lease.name.ToString()},
       {"state", v1::Batch::State_Name(work_.outcome)},
       {"lines_completed", work_.batch.completed_lines()},
       {"lines_failed", work_.batch.failed_lines()}});
  return absl::OkStatus();
}

absl::Status BatchRun::Release(bool pause) {
  const int64_t stalls = moved_ ? 0 : work_.stalls + 1;
  absl::Time due = parts_.clock.Now();
  if (pause) {
    due += std::min(parts_.options.last_pause,
                    parts_.options.first_pause * (int64_t{1} << std::min<int64_t>(stalls, 16)));
  }
  return parts_.store.Release(work_.lease, due, stalls);
}

}  // namespace slipway::gateway
