#include "services/gateway/oip/attempt.h"

#include "gtest/gtest.h"

namespace slipway::gateway {
namespace {

using Result = Outliers::Result;
using End = EndpointState::End;

Worker::Outcome Outcome(absl::Status status) { return {.status = std::move(status), .answer = {}}; }

TEST(AttemptTest, OnlyWhatNoWorkerHasRunMayBeAskedAgain) {
  for (int code = 0; code <= 16; ++code) {
    for (const bool from_worker : {false, true}) {
      Worker::Outcome outcome = Outcome(absl::Status(static_cast<absl::StatusCode>(code), "x"));
      outcome.from_worker = from_worker;
      // A worker that does not have the version runs nothing.
      EXPECT_EQ(ReadAttempt(std::move(outcome)).never_ran,
                static_cast<absl::StatusCode>(code) == absl::StatusCode::kNotFound)
          << code;
    }
  }
  Worker::Outcome lost = Outcome(absl::UnavailableError("the connection broke"));
  lost.never_sent = true;
  EXPECT_TRUE(ReadAttempt(std::move(lost)).never_ran);
}

TEST(AttemptTest, ABusyWorkerIsNoFailingOne) {
  Worker::Outcome busy = Outcome(absl::UnavailableError("the model's queue is full"));
  busy.from_worker = true;
  const Attempt attempt = ReadAttempt(std::move(busy));
  EXPECT_EQ(attempt.result, std::nullopt);
  EXPECT_EQ(attempt.end, End::kDropped);
  EXPECT_TRUE(attempt.may_fall_back);

  const Attempt gone = ReadAttempt(Outcome(absl::UnavailableError("the connection broke")));
  EXPECT_EQ(gone.result, Result::kFailed);
}

TEST(AttemptTest, WhatCallersDoWrongIsNoFailureAndHasNoFallback) {
  for (const absl::Status& status :
       {absl::InvalidArgumentError("x"), absl::FailedPreconditionError("x"),
        absl::OutOfRangeError("x"), absl::UnimplementedError("x"), absl::PermissionDeniedError("x"),
        TooLarge("the answer", 5), absl::CancelledError("x")}) {
    const Attempt attempt = ReadAttempt(Outcome(status));
    EXPECT_NE(attempt.result, Result::kFailed) << status;
    EXPECT_FALSE(attempt.may_fall_back) << status;
    EXPECT_EQ(attempt.end, End::kOther) << status;
  }
}

TEST(AttemptTest, AnAnswerThatIsNoneIsTheWorkersFailure) {
  Worker::Outcome outcome;
  outcome.answer = absl::Cord("no message");
  const Attempt attempt = ReadAttempt(std::move(outcome));
  EXPECT_TRUE(absl::IsInternal(attempt.answer.status()));
  EXPECT_EQ(attempt.result, Result::kFailed);
  EXPECT_FALSE(attempt.never_ran);
  EXPECT_TRUE(attempt.may_fall_back);
}

}  // namespace
}  // namespace slipway::gateway
