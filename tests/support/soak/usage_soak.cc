#include "tests/support/soak/usage_soak.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>

#include "common/process/local_process_launcher.h"
#include "common/sql/database.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "tests/support/eventually.h"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/gateway/gateway_process.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::gateway {
namespace {

constexpr size_t kMaxFaults = 10;

/// A request id: 32 hex digits in 16 bytes.
struct Id {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const Id&) const = default;

  static Id Parse(std::string_view text) {
    Id id;
    if (text.size() != 32) return id;
    std::from_chars(text.data(), text.data() + 16, id.high, 16);
    std::from_chars(text.data() + 16, text.data() + 32, id.low, 16);
    return id;
  }
  std::string ToString() const { return fmt::format("{:016x}{:016x}", high, low); }
};

/// One connection that is used again and again.
class Caller {
 public:
  explicit Caller(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    if (::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) Close();
  }
  ~Caller() { Close(); }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  struct Answer {
    int status = 0;  ///< 0: none, or not the whole of it
    Id request_id;
    std::string body;
  };
  Answer Ask(const std::string& request) {
    Answer answer;
    if (socket_ < 0 || ::send(socket_, request.data(), request.size(), MSG_NOSIGNAL) !=
                           static_cast<ssize_t>(request.size())) {
      return answer;
    }
    size_t head = std::string::npos;
    while ((head = buffer_.find("\r\n\r\n")) == std::string::npos) {
      if (!Fill()) return answer;
    }
    head += 4;
    const size_t length = std::strtoul(Field(head, "content-length: ").c_str(), nullptr, 10);
    while (buffer_.size() < head + length) {
      if (!Fill()) return answer;
    }
    answer.status = std::atoi(buffer_.c_str() + std::strlen("HTTP/1.1 "));
    answer.request_id = Id::Parse(Field(head, "x-request-id: "));
    answer.body = buffer_.substr(head, length);
    buffer_.erase(0, head + length);
    return answer;
  }

 private:
  void Close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  bool Fill() {
    char piece[16 << 10];
    const ssize_t got = ::recv(socket_, piece, sizeof(piece), 0);
    if (got <= 0) return false;
    buffer_.append(piece, static_cast<size_t>(got));
    return true;
  }
  /// Of a header, whose name stands here in lower case.
  std::string Field(size_t head, std::string_view name) const {
    const auto same = [](char a, char b) {
      return std::tolower(static_cast<unsigned char>(a)) == static_cast<unsigned char>(b);
    };
    const auto end = buffer_.begin() + static_cast<std::ptrdiff_t>(head);
    const auto found = std::search(buffer_.begin(), end, name.begin(), name.end(), same);
    if (found == end) return "";
    const auto value = found + static_cast<std::ptrdiff_t>(name.size());
    return {value, std::find(value, end, '\r')};
  }

  int socket_;
  std::string buffer_;
};

std::string Render(const std::string& target, const std::string& key, const std::string& body) {
  return fmt::format(
      "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{}",
      target, key, body.size(), body);
}

/// A gateway that comes and goes.
class Gateway {
 public:
  Gateway(ProcessLauncher& launcher, const TestTrust& trust, const GatewayProcess::Options& options)
      : process_(launcher, trust, options), port_(process_.port()) {
    Caller caller(process_.port());
    caller.Ask(Render("/api/v1/tenants?tenantId=acme", process_.operator_key(), "{}"));
    const auto answer = caller.Ask(
        Render("/api/v1/tenants/acme/keys", process_.operator_key(), R"({"role":"ROLE_CALLER"})"));
    const auto made = nlohmann::json::parse(answer.body);
    request_ = Render("/v2/models/digits/infer", made["secret"],
                      R"({"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[5]}]})");
  }

  /// Waits while it is away.
  int port() const {
    MutexLock lock(mutex_);
    while (port_ == 0) up_.Wait(mutex_);
    return port_;
  }
  const std::string& request() const { return request_; }

  void Restart() {
    // Whoever is connected goes on until it is dead; nobody tries in vain.
    SetPort(0);
    process_.Kill();
    process_.Restart();
    SetPort(process_.port());
  }
  void Stop() { process_.Stop(); }
  std::string database() const { return process_.database(); }

 private:
  void SetPort(int port) {
    MutexLock lock(mutex_);
    port_ = port;
    up_.SignalAll();
  }

  GatewayProcess process_;
  std::string request_;
  mutable Mutex mutex_;
  mutable CondVar up_;
  int port_ GUARDED_BY(mutex_) = 0;
};

struct Row {
  Id request_id;
  bool marked = false;
  auto operator<=>(const Row&) const = default;
};

std::vector<Row> ReadRows(const std::string& url, int64_t& summed) {
  std::vector<Row> rows;
  const auto database = sql::Database::Open(url).value();
  const absl::Status read = database->Read([&](sql::Transaction& tx) -> absl::Status {
    RETURN_IF_ERROR(
        tx.ForEach("SELECT request_id, outcome FROM usage_records", {}, [&](const sql::Row& row) {
          rows.push_back({Id::Parse(row.GetString(0)), row.GetInt(1) == 3});
          return absl::OkStatus();
        }));
    ASSIGN_OR_RETURN(const auto sum,
                     tx.QueryOne("SELECT CAST(SUM(calls) AS BIGINT) FROM usage_hours"));
    summed += sum->GetInt(0);
    return absl::OkStatus();
  });
  if (!read.ok()) std::abort();
  return rows;
}

}  // namespace

UsageSoakResult RunUsageSoak(const UsageSoakOptions& options) {
  const TempDir folder;
  const TestTrust trust;
  LocalProcessLauncher launcher;
  FakeWorker worker(trust, folder / "worker.sock");
  worker.KeepNoRequests();
  FakePlatform platform(trust, folder / "platform.sock",
                        SingleRoute("tenants/acme/deployments/digits",
                                    "tenants/acme/models/m/versions/1", worker.address()));
  std::vector<std::unique_ptr<Gateway>> gateways;
  for (int i = 0; i < options.gateways; ++i) {
    gateways.push_back(
        std::make_unique<Gateway>(launcher, trust,
                                  GatewayProcess::Options{.registry = platform.address(),
                                                          .training = platform.address(),
                                                          .controller = platform.address(),
                                                          .settings = {},
                                                          .wrapper = {}}));
  }

  std::atomic<int64_t> begun = 0;
  std::vector<std::vector<Id>> answered(options.callers);
  std::vector<std::string> faults;
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < options.callers; ++i) {
      callers.emplace_back([&, i] {
        const Gateway& gateway = *gateways[i % gateways.size()];
        std::optional<Caller> caller;
        while (begun.fetch_add(1) < options.calls) {
          if (!caller) caller.emplace(gateway.port());
          const Caller::Answer answer = caller->Ask(gateway.request());
          if (answer.status == 200) {
            answered[i].push_back(answer.request_id);
          } else {
            caller.reset();
          }
        }
      });
    }
    for (int kill = 1; kill <= options.kills; ++kill) {
      const int64_t at = options.calls * kill / (options.kills + 1);
      if (!Eventually([&] { return begun >= at; }, absl::Minutes(30))) {
        faults.push_back("the calls did not go on");
        break;
      }
      gateways[kill % gateways.size()]->Restart();
    }
  }

  UsageSoakResult result;
  std::vector<Row> rows;
  for (const auto& gateway : gateways) {
    gateway->Stop();
    const std::vector<Row> some = ReadRows(gateway->database(), result.summed);
    rows.insert(rows.end(), some.begin(), some.end());
  }
  std::vector<Id> seen;
  for (const auto& some : answered) seen.insert(seen.end(), some.begin(), some.end());
  std::sort(seen.begin(), seen.end());
  std::sort(rows.begin(), rows.end());
  result.answered = static_cast<int64_t>(seen.size());
  result.rows = static_cast<int64_t>(rows.size());
  const auto say = [&](std::string_view what, const Id& id) {
    if (faults.size() < kMaxFaults) faults.push_back(fmt::format("{} {}", id.ToString(), what));
  };
  if (result.summed != result.rows) {
    faults.push_back(fmt::format("the hours count {} of {} rows", result.summed, result.rows));
  }
  auto row = rows.begin();
  for (auto id = seen.begin(); id != seen.end() || row != rows.end();) {
    if (row == rows.end() || (id != seen.end() && *id < row->request_id)) {
      say("was answered and has no row", *id++);
      continue;
    }
    const bool was_answered = id != seen.end() && *id == row->request_id;
    if (!was_answered && !row->marked) say("has a row, no answer and no mark", row->request_id);
    const Id of = row->request_id;
    int64_t count = 0;
    for (; row != rows.end() && row->request_id == of; ++row, ++count) result.marked += row->marked;
    if (count != 1) say(fmt::format("has {} rows", count), of);
    if (was_answered) ++id;
  }
  result.faults = std::move(faults);
  return result;
}

}  // namespace slipway::gateway
