#include "services/training/trainer/checkpoint_writer.h"

#include <utility>

namespace slipway::trainer {

CheckpointWriter::CheckpointWriter(CheckpointStore& store)
    : store_(store), thread_([this] { Work(); }) {}

CheckpointWriter::~CheckpointWriter() {
  MutexLock lock(mutex_);
  ending_ = true;
  changed_.SignalAll();
}

void CheckpointWriter::Submit(int64_t step, std::vector<Tensor> state,
                              CheckpointStore::Metadata metadata, std::vector<int64_t> best) {
  MutexLock lock(mutex_);
  while (waiting_.has_value()) changed_.Wait(mutex_);
  waiting_ = Request{step, std::move(state), std::move(metadata), std::move(best)};
  changed_.SignalAll();
}

std::vector<absl::StatusOr<CheckpointStore::Written>> CheckpointWriter::TakeResults() {
  MutexLock lock(mutex_);
  return std::exchange(results_, {});
}

void CheckpointWriter::Flush() {
  MutexLock lock(mutex_);
  while (waiting_.has_value() || writing_) changed_.Wait(mutex_);
}

void CheckpointWriter::Work() {
  while (true) {
    Request request;
    {
      MutexLock lock(mutex_);
      while (!waiting_.has_value() && !ending_) changed_.Wait(mutex_);
      if (!waiting_.has_value()) return;
      request = *std::move(waiting_);
      waiting_.reset();
      writing_ = true;
      changed_.SignalAll();
    }
    auto result = store_.Write(request.step, request.state, request.metadata, request.best);
    MutexLock lock(mutex_);
    results_.push_back(std::move(result));
    writing_ = false;
    changed_.SignalAll();
  }
}

}  // namespace slipway::trainer
