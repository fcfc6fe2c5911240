#ifndef SLIPWAY_TESTS_SUPPORT_SERVING_WORKER_PROCESS_H_
#define SLIPWAY_TESTS_SUPPORT_SERVING_WORKER_PROCESS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/process/process_launcher.h"
#include "slipway/worker/v1/worker.pb.h"
#include "tests/support/serving/fake_registry.h"
#include "tests/support/serving/test_artifact.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway {

/// The program slipway-worker, with a registry and a controller that are played by this process.
/// Ends with the object.
class WorkerProcess {
 public:
  struct Options {
    /// More settings: "max_queue=1".
    std::vector<std::string> settings;
    /// Put before the command line ("/usr/bin/taskset", "-c", "0").
    std::vector<std::string> wrapper;
  };

  /// Aborts where it does not start. Both outlive this.
  WorkerProcess(ProcessLauncher& launcher, const TestTrust& trust, const Options& options);
  ~WorkerProcess();

  const std::string& address() const { return address_; }
  int64_t pid() const { return process_->pid(); }

  /// Loads version 1 of tenant acme's model `name` for its deployment of that name, and waits
  /// until it answers. What it takes in memory, in bytes. Aborts where it cannot be loaded.
  int64_t Load(const std::string& name, const TestArtifact& artifact,
               const worker::v1::RuntimeSettings& settings = {});
  /// As Load(): a pipeline whose steps' models are versions 1 of models of the steps' names.
  int64_t LoadPipeline(const std::string& name, slipway::registry::v1::Pipeline pipeline,
                       const std::map<std::string, TestArtifact>& steps);
  /// What Load(name) loaded; waits until it is gone.
  void Unload(const std::string& name);

 private:
  // The controller, as far as it is played here.
  class Controller;

  const TempDir folder_;
  FakeRegistryServer registry_;
  const std::string address_;
  std::unique_ptr<Process> process_;
  std::unique_ptr<Controller> controller_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_SUPPORT_SERVING_WORKER_PROCESS_H_
