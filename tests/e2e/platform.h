#ifndef SLIPWAY_TESTS_E2E_PLATFORM_H_
#define SLIPWAY_TESTS_E2E_PLATFORM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "common/http/client/client.h"
#include "common/process/local_process_launcher.h"
#include "common/status/status.h"
#include "nlohmann/json.hpp"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

// A whole platform of real processes, and calls to it from outside, as its users see it.
namespace slipway::e2e {

/// How long anything may take before a test gives it up.
inline constexpr absl::Duration kPatience = absl::Minutes(3);

/// An answer of any status; 0 where none came, with the reason as `body`.
struct Answer {
  int status = 0;
  std::string body;
  std::string request_id;

  bool ok() const { return status >= 200 && status < 300; }
  /// The body, where it is a JSON object; else an empty one.
  nlohmann::json json() const;
};

using Query = std::vector<std::pair<std::string, std::string>>;

/// Calls with one key ("" for none). Any thread.
class Caller {
 public:
  Caller(const std::string& address, const std::string& key);

  Answer Get(const std::string& path, const Query& query = {}) const;
  Answer Post(const std::string& path, const nlohmann::json& body, const Query& query = {}) const;
  Answer Call(const std::string& method, const std::string& path, const nlohmann::json& body,
              const Query& query = {}) const;
  /// A body as it is, with whatever headers.
  Answer Send(const std::string& method, const std::string& path, std::string body,
              const http::Headers& headers, const Query& query = {}) const;
  /// Every item of a list.
  std::vector<nlohmann::json> List(const std::string& path, const std::string& key) const;

 private:
  std::shared_ptr<http::Client> client_;
};

/// `slipway up` on a data directory, with all that it starts. Ends with the object, and with the
/// test's process however that ends.
class Platform {
 public:
  struct Options {
    /// Empty: a temporary folder of its own.
    std::string data_dir;
    /// Put before the command line of `slipway up` ("unshare", "-m", ...).
    std::vector<std::string> wrapper;
  };
  Platform() : Platform(Options()) {}
  explicit Platform(Options options);
  ~Platform();

  /// Starts it and waits until everything answers. May be called again after Stop or Kill.
  absl::Status Start();

  /// Starts it without waiting: a platform that is expected to refuse.
  absl::Status Launch();

  /// SIGTERM, and how it ended.
  absl::StatusOr<ProcessExit> Stop();

  /// SIGKILL of `slipway up` alone.
  absl::Status Kill();

  /// Waits for its end.
  absl::StatusOr<ProcessExit> WaitForExit(absl::Duration limit = kPatience);

  const std::string& data_dir() const { return data_dir_; }
  /// "127.0.0.1:41234"
  const std::string& address() const { return address_; }
  const std::string& metrics_address() const { return metrics_address_; }
  const std::string& admin_key() const { return admin_key_; }
  Caller As(const std::string& key) const { return Caller(address_, key); }

  /// Of `slipway up`.
  int64_t pid() const { return process_ == nullptr ? 0 : process_->pid(); }
  /// A process of the platform by its short name: "gateway", "registry", "training",
  /// "controller", "trainer", "worker"; 0 where none runs.
  int64_t PidOf(const std::string& name) const;
  /// All processes below `slipway up`.
  std::vector<int64_t> Descendants() const;
  /// kill -9, and waits until that process is gone.
  absl::Status KillService(const std::string& name) const;

  /// What `slipway up` printed, and the ends of the services' logs: for failed tests.
  std::string Logs() const;

 private:
  absl::Status WaitUntilReady();

  const TempDir temp_;
  const Options options_;
  const std::string data_dir_;
  const std::string ready_file_;
  const std::string output_file_;
  std::string address_;
  std::string metrics_address_;
  std::string admin_key_;
  LocalProcessLauncher launcher_;
  std::unique_ptr<Process> process_;
};

/// Waits until a process is gone; false when it is not within the limit.
bool WaitUntilGone(int64_t pid, absl::Duration limit = kPatience);

}  // namespace slipway::e2e

#endif  // SLIPWAY_TESTS_E2E_PLATFORM_H_
