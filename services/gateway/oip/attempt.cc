#include "services/gateway/oip/attempt.h"

#include <utility>

namespace slipway::gateway {

Attempt ReadAttempt(Worker::Outcome outcome) {
  using Result = Outliers::Result;
  using End = EndpointState::End;
  Attempt attempt{.answer = absl::UnknownError("")};
  if (outcome.status.ok()) {
    attempt.answer = ParseInferAnswer(outcome.answer);
  } else {
    attempt.answer = std::move(outcome.status);
  }
  const absl::Status& status = attempt.answer.status();
  switch (status.code()) {
    case absl::StatusCode::kOk:
      attempt.result = Result::kAnswered;
      attempt.end = End::kAnswered;
      break;
    case absl::StatusCode::kUnavailable:
      attempt.never_ran = outcome.never_sent;
      attempt.may_fall_back = true;
      if (outcome.from_worker) {
        attempt.end = End::kDropped;  // it is there, and says that it is busy
      } else {
        attempt.result = Result::kFailed;
      }
      break;
    case absl::StatusCode::kResourceExhausted:
      if (ToHttpCode(status) == 413) break;  // the caller's message
      attempt.end = End::kDropped;
      attempt.may_fall_back = true;
      break;
    case absl::StatusCode::kDeadlineExceeded:
      attempt.result = Result::kLate;
      attempt.may_fall_back = true;
      break;
    case absl::StatusCode::kNotFound:
      // The worker has unloaded the version since it was chosen.
      attempt.never_ran = true;
      attempt.may_fall_back = true;
      break;
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDataLoss:
      attempt.result = Result::kFailed;
      attempt.may_fall_back = true;
      break;
    case absl::StatusCode::kCancelled:
      break;
    default:
      attempt.result = Result::kAnswered;  // what it was asked is at fault
  }
  return attempt;
}

}  // namespace slipway::gateway
