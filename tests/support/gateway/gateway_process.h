#ifndef SLIPWAY_TESTS_SUPPORT_GATEWAY_GATEWAY_PROCESS_H_
#define SLIPWAY_TESTS_SUPPORT_GATEWAY_GATEWAY_PROCESS_H_

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "common/process/process_launcher.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway::gateway {

/// The program slipway-gateway on a free port, with its state in a folder of its own. Ends with
/// the object.
class GatewayProcess {
 public:
  struct Options {
    /// Where the services answer; usually those of one FakePlatform.
    std::string registry;
    std::string training;
    std::string controller;
    /// More settings: "io_threads=2".
    std::vector<std::string> settings;
    /// Put before the command line ("/usr/bin/taskset", "-c", "0").
    std::vector<std::string> wrapper;
  };

  /// Returns once it knows its keys and routes. Aborts where it does not start, with its log.
  /// Both outlive this.
  GatewayProcess(ProcessLauncher& launcher, const TestTrust& trust, const Options& options);
  ~GatewayProcess();

  /// kill -9; and a new process on what the old one left on the disk.
  void Kill();
  void Restart();

  int port() const { return port_; }
  /// "127.0.0.1:41234"
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }
  /// The first operator's key.
  const std::string& operator_key() const { return operator_key_; }
  Process& process() { return *process_; }
  /// Whether a load balancer should send it anything.
  bool Ready() const;
  /// Ends it as a SIGTERM does; its folder stays for as long as the object.
  void Stop();
  /// "sqlite:..."
  std::string database() const { return "sqlite:" + (folder_ / "gateway.db"); }
  int64_t pid() const { return process_->pid(); }
  std::string Log() const;
  /// As its admin listener tells them; "" where it does not answer.
  std::string Metrics() const;
  /// Its database, journal, log, pepper and first key.
  const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  void Launch();
  void WaitUntilReady();
  bool FindPort();

  ProcessLauncher& launcher_;
  const TempDir folder_;
  std::vector<std::string> settings_;
  const std::vector<std::string> wrapper_;
  std::unique_ptr<Process> process_;
  int port_ = 0;
  std::string operator_key_;
};

}  // namespace slipway::gateway

#endif  // SLIPWAY_TESTS_SUPPORT_GATEWAY_GATEWAY_PROCESS_H_
