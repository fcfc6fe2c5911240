#include "services/training/board.h"

#include <string>

#include "gtest/gtest.h"

namespace slipway::training {
namespace {

using v1::TrainingJob;

Job At(TrainingJob::State state, int64_t sequence) {
  Job job;
  job.name = {"acme", "j1"};
  job.state = state;
  job.last_sequence = sequence;
  return job;
}

TEST(BoardTest, ShowsTheNewestStateInWhateverOrderItComes) {
  Metrics metrics("training");
  Board board(metrics);
  board.Show(At(TrainingJob::RUNNING, 2));
  board.Show(At(TrainingJob::QUEUED, 1));
  ASSERT_EQ(board.Jobs().size(), 1u);
  EXPECT_EQ(board.Jobs()[0].state, TrainingJob::RUNNING);
  board.Show(At(TrainingJob::FAILED, 3));
  EXPECT_EQ(board.Jobs()[0].state, TrainingJob::FAILED);
}

TEST(BoardTest, AJobThatIsOverIsNotPutUp) {
  Metrics metrics("training");
  Board board(metrics);
  board.Show(At(TrainingJob::QUEUED, 1));
  board.Show(At(TrainingJob::CANCELLED, 2));
  board.Remove({"acme", "j1"});
  board.Show(At(TrainingJob::CANCELLED, 2));
  EXPECT_TRUE(board.Jobs().empty());
}

TEST(BoardTest, WakesForAChangeAndNotForProgress) {
  Metrics metrics("training");
  Board board(metrics);
  board.Show(At(TrainingJob::RUNNING, 1));
  board.Wait(absl::InfiniteDuration());  // returns: there was a change

  board.Show(At(TrainingJob::RUNNING, 2));
  board.Poke();
  board.Wait(absl::InfiniteDuration());
  board.Show(At(TrainingJob::RUNNING, 3));
  board.Wait(absl::Milliseconds(1));  // would have returned at once
  board.Show(At(TrainingJob::FAILED, 4));
  board.Wait(absl::InfiniteDuration());
}

TEST(BoardTest, CountsJobsByWhatBecomesOfThem) {
  Metrics metrics("training");
  Board board(metrics);
  const auto counts = [&](const std::string& line) {
    return metrics.Text().find("slipway_training_" + line + "\n") != std::string::npos;
  };
  board.Show(At(TrainingJob::QUEUED, 1));
  EXPECT_TRUE(counts("jobs{state=\"queued\"} 1"));
  Job running = At(TrainingJob::RUNNING, 2);
  running.attempts = 1;
  board.Show(running);
  EXPECT_TRUE(counts("jobs{state=\"queued\"} 0"));
  EXPECT_TRUE(counts("jobs{state=\"running\"} 1"));
  EXPECT_TRUE(counts("attempts_started_total 1"));
  board.Show(At(TrainingJob::SUCCEEDED, 3));
  board.Show(At(TrainingJob::SUCCEEDED, 3));
  board.Remove({"acme", "j1"});
  EXPECT_TRUE(counts("jobs{state=\"running\"} 0"));
  EXPECT_TRUE(counts("jobs_finished_total{state=\"succeeded\"} 1"));
}

}  // namespace
}  // namespace slipway::training
