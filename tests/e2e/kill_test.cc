// kill -9 of each process of the platform in turn, while a job trains and predictions flow: what
// was acknowledged is there afterwards, once.

#include <atomic>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/e2e/platform.h"
#include "tests/e2e/world.h"

namespace slipway::e2e {
namespace {

using nlohmann::json;

// Long enough to be killed in: some seconds.
constexpr int kLongTraining = 300;
constexpr int kShortTraining = 5;
constexpr absl::Duration kBetweenPredictions = absl::Milliseconds(10);

// Predicts until it is told to stop, and keeps what was answered. It leaves room for the trainer.
class Predictor {
 public:
  Predictor(const World& world, const std::string& deployment)
      : thread_([this, &world, deployment](std::stop_token stop) {
          while (!stop.stop_requested()) {
            Clock::Real().SleepFor(kBetweenPredictions);
            const Answer answer = world.Predict(deployment);
            MutexLock lock(mutex_);
            if (answer.status == 200) answered_.push_back(answer.request_id);
          }
        }) {}

  size_t answered() const {
    MutexLock lock(mutex_);
    return answered_.size();
  }

  // Waits for `more` answers from now on.
  bool WaitForMore(size_t more) const {
    const size_t wanted = answered() + more;
    return Eventually([&] { return answered() >= wanted; });
  }

  // Ends it; the request ids of all that was answered.
  std::vector<std::string> Finish() {
    thread_.request_stop();
    thread_.join();
    MutexLock lock(mutex_);
    return answered_;
  }

 private:
  mutable Mutex mutex_;
  std::vector<std::string> answered_ GUARDED_BY(mutex_);
  std::jthread thread_;
};

class KillTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(platform_.Start().ok());
    world_ = std::make_unique<World>(platform_, "acme");
    ASSERT_TRUE(world_->status().ok()) << world_->status() << platform_.Logs();
    const auto job = world_->Train("first", PictureSpec(kShortTraining));
    ASSERT_TRUE(job.ok()) << job.status() << platform_.Logs();
    ASSERT_EQ((*job)["state"], "SUCCEEDED") << *job << platform_.Logs();
    const absl::Status deployed = world_->Deploy("halves", (*job)["modelVersion"]);
    ASSERT_TRUE(deployed.ok()) << deployed << platform_.Logs();
  }

  void TearDown() override {
    if (HasFailure()) std::cerr << platform_.Logs();
  }

  json JobNow(const std::string& id) {
    return world_->owner().Get(world_->Path("jobs/" + id)).json();
  }

  // Repeats until it is acknowledged, under one request id: the platform is being killed.
  bool Acknowledge(const std::string& path, const json& body, Query query) {
    return Eventually([&] {
      const Answer answer = world_->owner().Post(world_->Path(path), body, query);
      // What a caller of a platform that is being restarted may see, and nothing else.
      EXPECT_TRUE(answer.ok() || answer.status == 0 || answer.status == 502 ||
                  answer.status == 503 || answer.status == 504)
          << answer.status << " " << answer.body;
      return answer.ok();
    });
  }

  std::set<std::string> Names(const std::string& path, const std::string& key) {
    std::set<std::string> out;
    for (const json& item : world_->owner().List(world_->Path(path), key)) {
      out.insert(item.value("name", ""));
    }
    return out;
  }

  // How many usage rows each request has, and each job.
  std::map<std::string, int> Rows(const std::string& kind, const std::string& by) {
    std::map<std::string, int> rows;
    for (const json& row : world_->owner().List(world_->Path("usageRecords"), "usageRecords")) {
      if (row.value("kind", "") == kind) ++rows[row.value(by, "")];
    }
    return rows;
  }

  Platform platform_;
  std::unique_ptr<World> world_;
};

TEST_P(KillTest, LosesNothingThatWasAcknowledged) {
  const std::string victim = GetParam();
  ASSERT_TRUE(Acknowledge("jobs", {{"spec", PictureSpec(kLongTraining)}},
                          {{"jobId", "long"}, {"requestId", "request-long"}}));
  ASSERT_TRUE(Eventually([&] {
    const json progress = JobNow("long").value("progress", json::object());
    return std::stoll(progress.value("step", "0")) > 0;
  })) << JobNow("long");
  Predictor predictor(*world_, "halves");
  ASSERT_TRUE(predictor.WaitForMore(20)) << world_->Predict("halves").body;

  ASSERT_EQ(JobNow("long")["state"], "RUNNING") << "too short a training to be killed in";
  const absl::Status killed = platform_.KillService(victim);
  ASSERT_TRUE(killed.ok()) << killed;

  // Acknowledged while things come back.
  std::set<std::string> datasets = {world_->Name("datasets/halves")};
  std::set<std::string> jobs = {world_->Name("jobs/first"), world_->Name("jobs/long")};
  for (int i = 0; i < 3; ++i) {
    const std::string id = "after-" + std::to_string(i);
    const json files = world_->owner().Get(world_->Path("datasets/halves")).json();
    if (files.contains("files")) {
      ASSERT_TRUE(Acknowledge("datasets", {{"files", files["files"]}},
                              {{"datasetId", id}, {"requestId", "request-" + id}}));
      datasets.insert(world_->Name("datasets/" + id));
    }
    ASSERT_TRUE(Acknowledge("jobs", {{"spec", PictureSpec(kShortTraining)}},
                            {{"jobId", id}, {"requestId", "request-" + id}}));
    jobs.insert(world_->Name("jobs/" + id));
  }

  // Predictions flow again, and every job comes to its version.
  EXPECT_TRUE(predictor.WaitForMore(50)) << world_->Predict("halves").body;
  std::set<std::string> versions;
  for (const std::string& name : jobs) {
    const std::string id = name.substr(name.rfind('/') + 1);
    const auto job = world_->WaitForJob(id);
    ASSERT_TRUE(job.ok()) << job.status();
    EXPECT_EQ((*job)["state"], "SUCCEEDED") << *job;
    versions.insert((*job)["modelVersion"]);
  }
  EXPECT_EQ(versions.size(), jobs.size());
  if (victim == "trainer" || victim == "training") {
    EXPECT_EQ(JobNow("long")["attempts"], 2);
  } else {
    EXPECT_EQ(JobNow("long")["attempts"], 1);
  }
  EXPECT_EQ(Names("jobs", "trainingJobs"), jobs);
  EXPECT_EQ(Names("datasets", "datasets"), datasets);
  EXPECT_EQ(Names("models/halves/versions", "modelVersions"), versions);

  // Every answered prediction has one row, and every job.
  const std::vector<std::string> answered = predictor.Finish();
  std::map<std::string, int> rows;
  const bool all_there = Eventually(
      [&] {
        rows = Rows("inference", "requestId");
        for (const std::string& id : answered) {
          if (rows[id] == 0) return false;
        }
        return true;
      },
      absl::Seconds(20));
  size_t missing = 0;
  for (const std::string& id : answered) {
    missing += rows[id] == 0;
    EXPECT_LE(rows[id], 1) << id;
  }
  EXPECT_TRUE(all_there) << missing << " of " << answered.size() << " answered calls have no row";
  EXPECT_TRUE(Eventually([&] { return Rows("training_seconds", "resource").size() == jobs.size(); },
                         absl::Seconds(20)));
  for (const auto& [name, count] : Rows("training_seconds", "resource"))
    EXPECT_EQ(count, 1) << name;
}

INSTANTIATE_TEST_SUITE_P(Each, KillTest,
                         ::testing::Values("gateway", "registry", "training", "trainer",
                                           "controller", "worker"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace slipway::e2e
