#ifndef SLIPWAY_TESTS_INTEGRATION_HTTP_SERVER_FIXTURE_H_
#define SLIPWAY_TESTS_INTEGRATION_HTTP_SERVER_FIXTURE_H_

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/http/server/server.h"
#include "common/sync/mutex.h"
#include "tests/integration/http/raw_peer.h"

namespace slipway::http {

/// A value that one thread sets and another waits for.
template <typename T>
class Promise {
 public:
  void Set(T value) {
    MutexLock lock(mutex_);
    ++times_;
    value_.emplace(std::move(value));
    set_.SignalAll();
  }

  /// Fails the test after 20 s, with a default value.
  T Wait() {
    MutexLock lock(mutex_);
    for (int i = 0; i < 200 && !value_.has_value(); ++i) {
      set_.WaitFor(mutex_, std::chrono::milliseconds(100));
    }
    EXPECT_TRUE(value_.has_value()) << "what was waited for did not come";
    return value_.has_value() ? *value_ : T();
  }

  bool WaitFor(std::chrono::milliseconds time) {
    MutexLock lock(mutex_);
    if (!value_.has_value()) set_.WaitFor(mutex_, time);
    return value_.has_value();
  }

  int times() {
    MutexLock lock(mutex_);
    return times_;
  }

 private:
  Mutex mutex_;
  CondVar set_;
  std::optional<T> value_ GUARDED_BY(mutex_);
  int times_ GUARDED_BY(mutex_) = 0;
};

/// A server on a free port of 127.0.0.1 with a handler that each test gives.
class ServerTest : public ::testing::Test {
 protected:
  using Handle = std::function<void(std::shared_ptr<Exchange>)>;

  /// Stops the server before what the test has declared ahead of it goes: handlers refer to that.
  class Running {
   public:
    explicit Running(std::unique_ptr<Server>& server) : server_(server) {}
    ~Running() { server_.reset(); }
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;

   private:
    std::unique_ptr<Server>& server_;
  };

  [[nodiscard]] Running Serve(Handle handle) {
    handler_.handle = std::move(handle);
    absl::StatusOr<std::unique_ptr<Server>> server = Server::Start(options_, handler_);
    EXPECT_TRUE(server.ok()) << std::string(server.status().message());
    server_ = *std::move(server);
    return Running(server_);
  }

  /// Answers each request with its method, target and body.
  [[nodiscard]] Running ServeEcho() {
    return Serve([](std::shared_ptr<Exchange> exchange) {
      Exchange& asked = *exchange;
      asked.ReadBody(1 << 20, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
        if (!body.ok()) return;
        const RequestHead& head = exchange->head();
        exchange->Respond({.body = head.method + " " + head.target + " " + *body});
      });
    });
  }

  uint64_t Refused(Refusal why) const { return server_->stats().refused[static_cast<int>(why)]; }

  /// Waits until `condition` of the server's figures holds; fails the test after 20 s.
  void WaitForStats(const std::function<bool(const ServerStats&)>& condition) {
    Promise<bool> never;
    for (int i = 0; i < 4000; ++i) {
      if (condition(server_->stats())) return;
      never.WaitFor(std::chrono::milliseconds(5));
    }
    ADD_FAILURE() << "the server's figures did not become what was waited for";
  }

  struct FunctionHandler final : Handler {
    void Handle(std::shared_ptr<Exchange> exchange) override { handle(std::move(exchange)); }
    ServerTest::Handle handle;
  };

  ServerOptions options_;
  FunctionHandler handler_;
  std::unique_ptr<Server> server_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_TESTS_INTEGRATION_HTTP_SERVER_FIXTURE_H_
