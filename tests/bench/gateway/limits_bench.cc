// How well three gateways keep one limit: real processes on a real PostgreSQL, callers at each of
// them, an open loop of calls at random times.
//
//   above   1.5 and 4 times the limit: of 60 seconds, how much of the limit passed (95% to 102%),
//           and how full the 60 seconds before a refusal were
//   below   0.85 times the limit: how many were refused (none)
//   one     1.5 times, at one gateway alone
//
//   limits_bench [seconds a measurement, default 75]

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "tests/bench/bench.h"
#include "tests/integration/http/raw_peer.h"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/gateway/gateway_process.h"
#include "tests/support/postgres.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway {
namespace {

constexpr int kGateways = 3;
constexpr absl::Duration kMinute = absl::Seconds(60);
// A report comes this late at most, and is counted in slots of half a second.
constexpr absl::Duration kLate = absl::Seconds(1);

std::string Request(const std::string& method, const std::string& target, const std::string& key,
                    const std::string& body) {
  return fmt::format(
      "{} {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{}",
      method, target, key, body.size(), body);
}

// Whole calls of one round, whoever made them.
class Calls {
 public:
  void Add(absl::Duration time, int status) {
    MutexLock lock(mutex_);
    if (status == 200) {
      passed_.push_back(time);
    } else if (status == 429) {
      refused_.push_back(time);
    } else {
      ++failed_;
    }
  }

  void Print(const std::string& what, int64_t limit) {
    MutexLock lock(mutex_);
    std::sort(passed_.begin(), passed_.end());
    const auto between = [this](absl::Duration from, absl::Duration to) {
      return std::upper_bound(passed_.begin(), passed_.end(), to) -
             std::upper_bound(passed_.begin(), passed_.end(), from);
    };
    int64_t most = 0;
    for (const absl::Duration time : passed_) most = std::max(most, between(time - kMinute, time));
    int64_t least = limit;
    for (const absl::Duration time : refused_) {
      least = std::min(least, between(time - kMinute - kLate, time));
    }
    const auto percent = [&](int64_t count) { return 100.0 * count / limit; };
    std::printf("%-28s %8ld %8zu %8zu %8d %12.2f", what.c_str(), limit, passed_.size(),
                refused_.size(), failed_, percent(most));
    if (refused_.empty()) {
      std::printf(" %12s\n", "-");
    } else {
      std::printf(" %12.2f\n", percent(least));
    }
    std::fflush(stdout);
  }

 private:
  Mutex mutex_;
  std::vector<absl::Duration> passed_ GUARDED_BY(mutex_);
  std::vector<absl::Duration> refused_ GUARDED_BY(mutex_);
  int failed_ GUARDED_BY(mutex_) = 0;
};

class Platform {
 public:
  Platform()
      : worker_(trust_, folder_ / "worker.sock"),
        services_(trust_, folder_ / "platform.sock"),
        database_(postgres_.NewDatabase()) {
    for (int i = 0; i < kGateways; ++i) {
      gateways_.push_back(std::make_unique<gateway::GatewayProcess>(
          launcher_, trust_,
          gateway::GatewayProcess::Options{
              .registry = services_.address(),
              .training = services_.address(),
              .controller = services_.address(),
              .settings = {"database=" + database_, "pepper_file=" + (folder_ / "pepper")},
              .wrapper = {}}));
    }
  }

  // A tenant with this limit, and a key of it that may call.
  std::string NewKey(int64_t limit) {
    const std::string tenant = fmt::format("t{}", ++tenants_);
    Ask("POST", "/api/v1/tenants?tenantId=" + tenant, "{}");
    Ask("PUT", fmt::format("/api/v1/tenants/{}/limits", tenant),
        fmt::format(R"({{"requestsPerMinute":{}}})", limit));
    controller::v1::RouteTable table;
    table.set_generation(tenants_);
    auto& route = *table.add_routes();
    route.set_deployment(fmt::format("tenants/{}/deployments/d", tenant));
    auto& target = *route.add_targets();
    target.set_model_version(fmt::format("tenants/{}/models/m/versions/1", tenant));
    target.set_weight(1);
    target.add_workers(worker_.address());
    services_.SetRoutes(table);
    const std::string key =
        nlohmann::json::parse(Ask("POST", fmt::format("/api/v1/tenants/{}/keys", tenant),
                                  R"({"role":"ROLE_CALLER"})"))
            .at("secret");
    // Until every gateway has heard of it all.
    Clock::Real().SleepFor(absl::Seconds(2));
    return key;
  }

  // Calls of `key` at each gateway at these rates a second.
  void Run(const std::string& what, int64_t limit, double load, std::vector<double> shares,
           absl::Duration time) {
    const std::string key = NewKey(limit);
    const std::string request =
        Request("POST", "/v2/models/d/infer", key,
                R"({"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}]})");
    Calls calls;
    {
      std::vector<std::jthread> callers;
      for (int i = 0; i < kGateways; ++i) {
        if (shares[i] == 0) continue;
        // Several connections, so that one answer does not hold up the next call.
        for (int connection = 0; connection < 4; ++connection) {
          const double rate = load * static_cast<double>(limit) / 60 * shares[i] / 4;
          callers.emplace_back([&, i, connection, rate] {
            std::mt19937_64 random(static_cast<uint64_t>(i * 4 + connection));
            std::exponential_distribution<double> pause(rate);
            http::RawPeer peer(gateways_[i]->address());
            const Clock& clock = Clock::Real();
            absl::Duration next = clock.Monotonic() + absl::Seconds(pause(random));
            const absl::Duration end = clock.Monotonic() + time;
            while (next < end) {
              if (const absl::Duration now = clock.Monotonic(); next > now) {
                clock.SleepFor(next - now);
              }
              const int status = peer.Ask(request).status;
              calls.Add(clock.Monotonic(), status);
              next += absl::Seconds(pause(random));
            }
          });
        }
      }
    }
    calls.Print(what, limit);
  }

 private:
  std::string Ask(const std::string& method, const std::string& target, const std::string& body) {
    http::RawPeer peer(gateways_[0]->address());
    const auto answer = peer.Ask(Request(method, target, gateways_[0]->operator_key(), body));
    if (answer.status != 200) {
      std::fprintf(stderr, "%s %s: %s\n", method.c_str(), target.c_str(), answer.body.c_str());
      std::exit(1);
    }
    return answer.body;
  }

  const TempDir folder_;
  const TestTrust trust_;
  LocalProcessLauncher launcher_;
  TestPostgres postgres_;
  gateway::FakeWorker worker_;
  gateway::FakePlatform services_;
  const std::string database_;
  std::vector<std::unique_ptr<gateway::GatewayProcess>> gateways_;
  int tenants_ = 0;
};

int Main(absl::Duration time) {
  if (!BeginBench("limits_bench").ok()) return 1;
  Platform platform;
  std::printf("%-28s %8s %8s %8s %8s %12s %12s\n", "", "limit", "passed", "refused", "failed",
              "most in 60 s", "before 429");
  const std::vector<double> even(kGateways, 1.0 / kGateways);
  for (const int64_t limit : {1000, 6000}) {
    platform.Run("above: 1.5 times", limit, 1.5, even, time);
    platform.Run("above: 4 times", limit, 4, even, time);
    platform.Run("below: 0.85 times", limit, 0.85, even, time);
    platform.Run("one gateway: 1.5 times", limit, 1.5, {1, 0, 0}, time);
  }
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  return slipway::Main(absl::Seconds(argc > 1 ? std::atof(argv[1]) : 75));
}
