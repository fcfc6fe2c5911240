#ifndef SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_RUNNER_FIXTURE_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_RUNNER_FIXTURE_H_

#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "services/training/runner.h"
#include "services/training/training.h"
#include "tests/support/fake_clock.h"
#include "tests/support/training/example_spec.h"
#include "tests/support/training/fake_job_store.h"
#include "tests/support/training/fake_launcher.h"
#include "tests/support/training/fake_model_registry.h"
#include "tests/support/training/fake_object_store.h"

namespace slipway::training {

/// The domain as main.cc wires it, on fakes. Restart() is a crash of the service: the store stays,
/// everything else is new, and the trainers are gone.
class RunnerFixture : public ::testing::Test {
 protected:
  struct Service {
    Service(FakeJobStore& store, FakeModelRegistry& registry, const ObjectStores& objects,
            const Clock& clock, const RunnerOptions& options)
        : training(store, registry, objects, board, bell, clock,
                   {.retry = options.retry, .code_version = "0.1.0"}),
          runner(store, launcher, registry, objects, board, bell, clock, options) {}
    Metrics metrics{"training"};
    Board board{metrics};
    EventBell bell;
    FakeLauncher launcher;
    Training training;
    Runner runner;
  };

  /// Starts with these.
  explicit RunnerFixture(RunnerOptions options) : options_(std::move(options)) {
    who_.tenant = "acme";
    who_.key_id = "k1";
    registry_.AddDataset("tenants/acme/datasets/digits",
                         {std::begin(kExampleFiles), std::end(kExampleFiles)});
    options_.action_retry = absl::Milliseconds(1);
    Restart();
  }
  ~RunnerFixture() override { Quit(); }

  // As a kill: nobody settles what ran.
  void Quit() {
    if (service_ == nullptr) return;
    service_->launcher.ObeyStops();
    service_.reset();
  }

  void Restart() {
    Quit();
    service_ = std::make_unique<Service>(store_, registry_, objects_, clock_, options_);
    ASSERT_TRUE(service_->runner.Start().ok());
  }

  FakeLauncher& launcher() { return service_->launcher; }
  Training& training() { return service_->training; }

  void Submit(const std::string& id, const v1::JobSpec& spec = ExampleSpec()) {
    auto request = ExampleRequest("acme", id);
    *request.mutable_training_job()->mutable_spec() = spec;
    const auto job = training().Submit(who_, request, absl::InfiniteFuture());
    ASSERT_TRUE(job.ok()) << job.status();
  }

  Principal Trainer(const std::string& job) const {
    Principal trainer = who_;
    trainer.scopes = {job};
    return trainer;
  }

  // Waits for the job's end.
  v1::TrainingJob Finished(const std::string& id) {
    const absl::Status status = training().Watch(
        who_, {"acme", id}, 0, [](const v1::Event&) { return true; }, [] { return false; });
    EXPECT_TRUE(status.ok()) << status;
    return *training().Get(who_, {"acme", id});
  }

  Principal who_;
  FakeClock clock_;
  FakeJobStore store_;
  FakeModelRegistry registry_;
  FakeObjectStore* lake_ = nullptr;  // where acme may read below sales
  const ObjectStores objects_ = FakeStores({{"acme", "sales"}}, lake_);
  RunnerOptions options_;
  std::unique_ptr<Service> service_;
};

}  // namespace slipway::training

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_TRAINING_RUNNER_FIXTURE_H_
