#include "services/training/trainer/data/step_reader.h"

#include <algorithm>
#include <utility>

namespace slipway::trainer {
namespace {

// Less than this stays in memory, where a batch is a few copies.
constexpr size_t kManyBytes = size_t{256} << 20;

}  // namespace

StepReader::StepReader(const Examples& examples, Sampler sampler, BatchChange change,
                       Options options)
    : examples_(examples),
      sampler_(std::move(sampler)),
      change_(std::move(change)),
      options_(options) {
  if (change_ != nullptr || examples_.inputs.size() >= kManyBytes) {
    thread_.emplace([this] { Work(); });
  }
}

StepReader::~StepReader() {
  MutexLock lock(mutex_);
  ending_ = true;
  changed_.SignalAll();
}

const StepReader::Step& StepReader::At(int64_t step) {
  if (!thread_.has_value()) {
    Gather(step, steps_[0]);
    return steps_[0];
  }
  MutexLock lock(mutex_);
  if (asked_ != step) {
    // The first one, or none that was foreseen.
    while (asked_.has_value() && !ready_) changed_.Wait(mutex_);
    asked_ = step;
    ready_ = false;
    changed_.SignalAll();
  }
  while (!ready_) changed_.Wait(mutex_);
  const Step& found = steps_[spare_];
  spare_ = 1 - spare_;
  asked_ = step + 1;
  ready_ = false;
  changed_.SignalAll();
  return found;
}

void StepReader::Work() {
  while (true) {
    int64_t step = 0;
    size_t place = 0;
    {
      MutexLock lock(mutex_);
      while (!ending_ && (!asked_.has_value() || ready_)) changed_.Wait(mutex_);
      if (ending_) return;
      step = *asked_;
      place = spare_;
    }
    Gather(step, steps_[place]);
    MutexLock lock(mutex_);
    ready_ = true;
    changed_.SignalAll();
  }
}

void StepReader::Gather(int64_t step, Step& out) {
  const Sampler::Slice slice = sampler_.At(step);
  size_t count = 0;
  for (int64_t done = 0; done < slice.size;) {
    int64_t size = std::min(options_.batch_size, slice.size - done);
    // As the sampler: no row alone, since batch statistics of one row are none.
    if (slice.size - done - size == 1) ++size;
    const Part part = PartOf(size, options_.rank, options_.processes);
    if (part.size > 0) {
      if (out.batches.size() == count) out.batches.emplace_back();
      Batch& batch = out.batches[count++];
      trainer::Gather(examples_, *slice.rows, slice.first + done + part.first, part.size, batch);
      if (change_ != nullptr) change_(step * options_.step_rows + done + part.first, batch);
      batch.share = static_cast<double>(part.size) / static_cast<double>(slice.size);
    }
    done += size;
  }
  out.batches.resize(count);
  out.rows = slice.size;
}

}  // namespace slipway::trainer
