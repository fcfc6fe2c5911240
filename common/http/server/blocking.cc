#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include "common/http/io/io_loop.h"
#include "common/http/server/server.h"
#include "common/sync/mutex.h"

namespace slipway::http {
namespace {

// Where a callback leaves its result and a thread waits for it. Shared by both.
template <typename Result>
class Box {
 public:
  void Put(Result result) {
    MutexLock lock(mutex_);
    result_.emplace(std::move(result));
    there_.Signal();
  }

  Result Take() {
    MutexLock lock(mutex_);
    while (!result_.has_value()) there_.Wait(mutex_);
    return *std::move(result_);
  }

 private:
  Mutex mutex_;
  CondVar there_;
  std::optional<Result> result_ GUARDED_BY(mutex_);
};

void CheckMayBlock() {
  if (IoLoop::Current() == nullptr) return;
  std::fputs("slipway::http: a blocking call on an I/O thread would wait for itself\n", stderr);
  std::abort();
}

// Starts a call with a callback, waits for what the callback gets.
template <typename Result, typename Start>
Result Await(Start start) {
  CheckMayBlock();
  const auto box = std::make_shared<Box<Result>>();
  start([box](Result result) { box->Put(std::move(result)); });
  return box->Take();
}

}  // namespace

absl::StatusOr<std::string> ReadBodyBlocking(Exchange& exchange, uint64_t limit) {
  return Await<absl::StatusOr<std::string>>(
      [&](auto done) { exchange.ReadBody(limit, std::move(done)); });
}

absl::StatusOr<std::string> ReadSomeBlocking(Exchange& exchange) {
  return Await<absl::StatusOr<std::string>>([&](auto done) { exchange.ReadSome(std::move(done)); });
}

absl::Status WriteBlocking(Exchange& exchange, std::string piece) {
  return Await<absl::Status>([&](auto done) { exchange.Write(std::move(piece), std::move(done)); });
}

}  // namespace slipway::http
