#include "common/http/server/held_writes.h"

#include <algorithm>
#include <utility>

namespace slipway::http {
namespace {

thread_local HeldWrites* of_thread = nullptr;

}  // namespace

HeldWrites::HeldWrites() : outer_(std::exchange(of_thread, this)) {}

HeldWrites::~HeldWrites() {
  of_thread = outer_;
  for (const std::shared_ptr<Sender>& sender : senders_) sender->SendHeld();
}

HeldWrites* HeldWrites::OfThread() { return of_thread; }

void HeldWrites::Add(std::shared_ptr<Sender> sender) {
  // There are few, and mostly it is the last one again.
  if (std::find(senders_.rbegin(), senders_.rend(), sender) != senders_.rend()) return;
  senders_.push_back(std::move(sender));
}

}  // namespace slipway::http
