#include "services/training/board.h"

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
  Board board;
  board.Show(At(TrainingJob::RUNNING, 2));
  board.Show(At(TrainingJob::QUEUED, 1));
  ASSERT_EQ(board.Jobs().size(), 1u);
  EXPECT_EQ(board.Jobs()[0].state, TrainingJob::RUNNING);
  board.Show(At(TrainingJob::FAILED, 3));
  EXPECT_EQ(board.Jobs()[0].state, TrainingJob::FAILED);
}

TEST(BoardTest, AJobThatIsOverIsNotPutUp) {
  Board board;
  board.Show(At(TrainingJob::QUEUED, 1));
  board.Show(At(TrainingJob::CANCELLED, 2));
  board.Remove({"acme", "j1"});
  board.Show(At(TrainingJob::CANCELLED, 2));
  EXPECT_TRUE(board.Jobs().empty());
}

TEST(BoardTest, WakesForAChangeAndNotForProgress) {
  Board board;
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

}  // namespace
}  // namespace slipway::training
