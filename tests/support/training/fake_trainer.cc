// A stand-in for slipway-trainer that trains nothing: it does what the spec's labels say, one word
// an attempt (the last word for all later ones). A word may end in ":..." to differ from others.
//
//   succeed   reports progress, hands in a result
//   poor      the same, with accuracy 0.1
//   slow      the same, a hundred steps of 10 ms each
//   fail      a verdict that another attempt would not help
//   retry     a verdict that another attempt may do better
//   crash     says something and dies
//   quit      ends without a verdict
//   bad       ends as if its attempt file were unusable
//   hang      waits for SIGTERM, then ends
//   deaf      waits for ever and ignores SIGTERM

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <string>

#include "common/files/files.h"
#include "common/grpc/client.h"
#include "common/grpc/status.h"
#include "common/time/clock.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/grpcpp.h"
#include "services/training/spec/trainer_exit.h"
#include "slipway/training/v1/training.grpc.pb.h"

namespace slipway::training {
namespace {

class FakeTrainer {
 public:
  FakeTrainer(v1::Attempt attempt, std::string token, std::shared_ptr<grpc::Channel> channel)
      : attempt_(std::move(attempt)),
        token_(std::move(token)),
        stub_(v1::AttemptService::NewStub(std::move(channel))) {}

  int Run() {
    const std::string word = Word();
    // Where a test finds the process.
    if (!WriteFileAtomically(attempt_.checkpoint_dir() + "/pid", std::to_string(getpid())).ok()) {
      return EXIT_FAILURE;
    }
    if (!Report(0)) return kTrainerDone;
    if (word == "succeed") return Succeed(3, absl::ZeroDuration(), 0.95);
    if (word == "poor") return Succeed(3, absl::ZeroDuration(), 0.1);
    if (word == "slow") return Succeed(100, absl::Milliseconds(10), 0.95);
    if (word == "fail") return Fail("spec.architecture: does not fit", false);
    if (word == "retry") return Fail("a peer was lost", true);
    if (word == "quit") return kTrainerDone;
    if (word == "bad") return kTrainerBadAttempt;
    if (word == "crash") {
      std::cerr << "terminate called: out of luck" << std::endl;
      std::abort();
    }
    if (word == "deaf") ::signal(SIGTERM, SIG_IGN);
    for (;;) ::pause();
  }

 private:
  std::string Word() const {
    const auto& words = attempt_.spec().data().labels();
    const int last = std::min(attempt_.attempt(), words.size()) - 1;
    return words[last].substr(0, words[last].find(':'));
  }

  template <class Request, class Answer>
  absl::Status Call(grpc::Status (v1::AttemptService::Stub::*method)(grpc::ClientContext*,
                                                                     const Request&, Answer*),
                    const Request& request, Answer& answer) {
    grpc::ClientContext context;
    CallOptions options;
    options.token = token_;
    options.deadline = Clock::Real().Now() + absl::Seconds(30);
    options.wait_for_ready = true;
    PrepareContext(context, options);
    return FromGrpcStatus((stub_.get()->*method)(&context, request, &answer));
  }

  // False when it is to stop.
  bool Report(int64_t step) {
    v1::ReportEventsRequest request;
    request.set_job(attempt_.job());
    request.set_attempt(attempt_.attempt());
    request.add_events()->mutable_progress()->set_step(step);
    v1::ReportEventsResponse answer;
    const absl::Status status = Call(&v1::AttemptService::Stub::ReportEvents, request, answer);
    if (!status.ok()) std::cerr << status << std::endl;
    return status.ok() && !answer.stop();
  }

  int Succeed(int64_t steps, absl::Duration step_time, double accuracy) {
    for (int64_t step = 1; step <= steps; ++step) {
      if (step_time > absl::ZeroDuration()) Clock::Real().SleepFor(step_time);
      if (!Report(step)) return kTrainerDone;
    }
    v1::CompleteAttemptRequest request;
    request.set_job(attempt_.job());
    request.set_attempt(attempt_.attempt());
    request.mutable_artifact()->set_format("slipway");
    (*request.mutable_metrics())["accuracy"] = accuracy;
    if (attempt_.trial()) {
      // The best of all is 0.01.
      const double rate = attempt_.spec().optimizer().fields().at("learning_rate").number_value();
      (*request.mutable_metrics())["validation_loss"] = std::abs(rate - 0.01);
    }
    google::protobuf::Empty nothing;
    const absl::Status status = Call(&v1::AttemptService::Stub::CompleteAttempt, request, nothing);
    if (!status.ok()) std::cerr << status << std::endl;
    return status.ok() ? kTrainerDone : EXIT_FAILURE;
  }

  int Fail(const std::string& error, bool retryable) {
    v1::FailAttemptRequest request;
    request.set_job(attempt_.job());
    request.set_attempt(attempt_.attempt());
    request.set_error(error);
    request.set_retryable(retryable);
    google::protobuf::Empty nothing;
    return Call(&v1::AttemptService::Stub::FailAttempt, request, nothing).ok() ? kTrainerDone
                                                                               : EXIT_FAILURE;
  }

  const v1::Attempt attempt_;
  const std::string token_;
  const std::unique_ptr<v1::AttemptService::Stub> stub_;
};

int Run(const std::string& file) {
  const auto json = ReadFile(file);
  v1::Attempt attempt;
  if (!json.ok() || !google::protobuf::util::JsonStringToMessage(*json, &attempt).ok()) {
    return kTrainerBadAttempt;
  }
  const auto token = ReadFile(attempt.token_file());
  auto channel = OpenChannel({.address = attempt.training_address()});
  if (!token.ok() || !channel.ok()) return kTrainerBadAttempt;
  return FakeTrainer(std::move(attempt), *token, *std::move(channel)).Run();
}

}  // namespace
}  // namespace slipway::training

int main(int argc, char** argv) {
  if (argc != 3 || std::string(argv[1]) != "--attempt")
    return slipway::training::kTrainerBadAttempt;
  return slipway::training::Run(argv[2]);
}
