#include "services/training/trainer/step_sum.h"

#include <torch/torch.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

namespace slipway::trainer {
namespace {

// Large enough that the latency of a sum is small beside its time, small enough that there is
// something left to compute meanwhile.
constexpr int64_t kBucketElements = 1 << 18;  // 1 MiB

class CompletionHook final : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit CompletionHook(std::function<void()> told) : told_(std::move(told)) {}
  void operator()(const at::Tensor&) override { told_(); }

 private:
  const std::function<void()> told_;
};

}  // namespace

StepSum::StepSum(Gang& gang, nn::TorchNetwork& network)
    : gang_(gang), network_(network), statistics_(network.statistics()) {
  const std::vector<nn::TorchNetwork::Leaf> leaves = network.leaves();
  const int64_t size = network.parameters().numel();
  if (size <= kBucketElements) {
    AddBucket(0, size);
  } else {
    // Weights lie in the order of their layers, and backward() begins with the last. What does not
    // decay is small, and its first element is among the last to be completed.
    int64_t end = network.decaying_size();
    for (auto leaf = leaves.rbegin(); leaf != leaves.rend(); ++leaf) {
      if (leaf->first >= end || (end - leaf->first < kBucketElements && leaf->first > 0)) continue;
      AddBucket(leaf->first, end);
      end = leaf->first;
    }
    AddBucket(network.decaying_size(), size);
  }
  for (const auto& leaf : leaves) {
    const auto bucket = std::find_if(buckets_.begin(), buckets_.end(), [&](const Bucket& b) {
      return b.first <= leaf.first && leaf.first < b.end;
    });
    ++bucket->parameters;
    torch::autograd::impl::set_post_acc_grad_hooks(
        leaf.tensor,
        std::make_unique<CompletionHook>(
            [this, i = static_cast<size_t>(bucket - buckets_.begin())] { Complete(i); }));
  }
  int64_t numbers = 2;
  for (const at::Tensor& tensor : statistics_) numbers += tensor.numel();
  head_ = at::zeros({numbers}, at::kDouble);
}

void StepSum::AddBucket(int64_t first, int64_t end) {
  if (first < end) buckets_.push_back({.first = first, .end = end});
}

void StepSum::Complete(size_t bucket) {
  if (!last_pass_) return;
  --buckets_[bucket].waits_for;
  StartThose(/*complete_only=*/true);
}

void StepSum::StartThose(bool complete_only) {
  // In the same order everywhere.
  for (; started_ < buckets_.size(); ++started_) {
    const Bucket& bucket = buckets_[started_];
    if (complete_only && bucket.waits_for > 0) return;
    gang_.StartSum(network_.gradients().slice(0, bucket.first, bucket.end));
  }
}

void StepSum::Start(const StepResult& own, double share) {
  const at::NoGradGuard no_grad;
  head_[0] = own.loss;
  head_[1] = static_cast<double>(own.right);
  int64_t first = 2;
  for (const at::Tensor& tensor : statistics_) {
    head_.slice(0, first, first + tensor.numel()).copy_(tensor.flatten()).mul_(share);
    first += tensor.numel();
  }
  gang_.StartSum(head_);
  for (Bucket& bucket : buckets_) bucket.waits_for = bucket.parameters;
  started_ = 0;
  last_pass_ = true;
}

StepResult StepSum::Finish() {
  const at::NoGradGuard no_grad;
  last_pass_ = false;
  StartThose(/*complete_only=*/false);
  gang_.FinishSums();
  int64_t first = 2;
  for (at::Tensor& tensor : statistics_) {
    tensor.copy_(head_.slice(0, first, first + tensor.numel()).view_as(tensor));
    first += tensor.numel();
  }
  return {.loss = head_[0].item<double>(), .right = static_cast<int64_t>(head_[1].item<double>())};
}

}  // namespace slipway::trainer
