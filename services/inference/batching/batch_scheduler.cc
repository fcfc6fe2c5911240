#include "services/inference/batching/batch_scheduler.h"

#include <algorithm>
#include <utility>

namespace slipway::worker {

BatchScheduler::Tenant& BatchScheduler::TenantOf(const ModelQueue& queue) {
  return tenants_.find(queue.tenant())->second;
}

const BatchScheduler::Tenant& BatchScheduler::TenantOf(const ModelQueue& queue) const {
  return tenants_.find(queue.tenant())->second;
}

void BatchScheduler::Activate(ModelQueue& queue) {
  queues_.push_back(&queue);
  const auto known = tenants_.find(queue.tenant());
  if (known == tenants_.end()) {
    // Whoever owes nothing need not be remembered.
    std::erase_if(tenants_, [&](const auto& tenant) {
      return tenant.second.active == 0 && tenant.second.used <= level_;
    });
  }
  const auto [tenant, is_new] = tenants_.try_emplace(queue.tenant());
  if (is_new) {
    const auto weight = weights_.find(queue.tenant());
    if (weight != weights_.end()) tenant->second.weight = weight->second;
  }
  if (tenant->second.active++ == 0) tenant->second.used = std::max(tenant->second.used, level_);
}

absl::Status BatchScheduler::Push(ModelQueue& queue, BatchCallPtr& call, absl::Duration now,
                                  std::vector<DroppedCall>& dropped) {
  const bool was_empty = queue.empty();
  const absl::Status pushed = queue.Push(call, now, dropped);
  // What was dropped to make room may have been all of it.
  if (was_empty && !queue.empty()) Activate(queue);
  return pushed;
}

absl::Duration BatchScheduler::Expire(absl::Duration now, std::vector<DroppedCall>& dropped) {
  absl::Duration again = absl::InfiniteDuration();
  for (ModelQueue* queue : queues_) {
    queue->Expire(now, dropped);
    again = std::min(again, queue->ExpiresAt());
  }
  DropEmptyQueues();
  return again;
}

void BatchScheduler::Clear(ModelQueue& queue, const absl::Status& why,
                           std::vector<DroppedCall>& dropped) {
  queue.Clear(why, dropped);
  DropEmptyQueues();
}

BatchScheduler::Turn BatchScheduler::Next(absl::Duration now) {
  Turn turn;
  Expire(now, turn.dropped);
  while (turn.batch.calls.empty()) {
    turn.ask_again = absl::InfiniteDuration();
    ModelQueue* best = nullptr;
    for (ModelQueue* queue : queues_) {
      if (!queue->may_start()) continue;
      const absl::Duration ready = queue->ReadyAt(now);
      if (ready > now) {
        turn.ask_again = std::min(turn.ask_again, ready);
      } else if (best == nullptr || GoesBefore(*queue, *best)) {
        best = queue;
      }
    }
    if (best != nullptr) turn.batch.calls = best->Take(now, turn.dropped);
    if (!turn.batch.calls.empty()) Start(*best, now, turn.batch);
    DropEmptyQueues();
    if (best == nullptr) break;
  }
  return turn;
}

bool BatchScheduler::GoesBefore(const ModelQueue& a, const ModelQueue& b) const {
  const double used_a = TenantOf(a).used;
  const double used_b = TenantOf(b).used;
  return used_a != used_b ? used_a < used_b : a.oldest() < b.oldest();
}

void BatchScheduler::Start(ModelQueue& queue, absl::Duration now, Batch& batch) {
  batch.queue = &queue;
  CommonLengths lengths;
  for (const BatchCallPtr& call : batch.calls) {
    batch.rows += call->rows;
    lengths.Add(*call);
  }
  batch.lengths = lengths.lengths();
  batch.work = static_cast<double>(batch.rows) * lengths.positions();
  Tenant& tenant = TenantOf(queue);
  ++tenant.active;
  level_ = std::max(level_, tenant.used);
  // Paid now, so that it does not take all threads at once; Ran() settles the difference.
  batch.charged = queue.Predict(batch.work, now);
  tenant.used += absl::ToDoubleSeconds(batch.charged) / tenant.weight;
}

void BatchScheduler::DropEmptyQueues() {
  std::erase_if(queues_, [&](ModelQueue* queue) {
    if (!queue->empty()) return false;
    --TenantOf(*queue).active;
    return true;
  });
}

void BatchScheduler::Ran(const Batch& batch, absl::Duration took, absl::Duration now) {
  batch.queue->Ran(batch.rows, batch.work, took, now);
  Tenant& tenant = TenantOf(*batch.queue);
  tenant.used += absl::ToDoubleSeconds(took - batch.charged) / tenant.weight;
  --tenant.active;
}

void BatchScheduler::PutBack(Batch& batch) {
  if (batch.queue->empty()) Activate(*batch.queue);
  batch.queue->PutBack(std::move(batch.calls));
}

}  // namespace slipway::worker
