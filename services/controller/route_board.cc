#include "services/controller/route_board.h"

#include <utility>

#include "google/protobuf/util/message_differencer.h"

namespace slipway::controller {

void RouteBoard::Publish(v1::RouteTable table) {
  MutexLock lock(mutex_);
  table.set_generation(generation_);
  if (table_ != nullptr && google::protobuf::util::MessageDifferencer::Equals(*table_, table)) {
    return;
  }
  table.set_generation(++generation_);
  table_ = std::make_shared<const v1::RouteTable>(std::move(table));
  changed_.SignalAll();
}

std::shared_ptr<const v1::RouteTable> RouteBoard::WaitForNewer(int64_t seen,
                                                               absl::Duration timeout) {
  MutexLock lock(mutex_);
  const auto newer = [&]() REQUIRES(mutex_) {
    return table_ != nullptr && table_->generation() > seen;
  };
  while (!closed_ && !newer()) {
    if (!changed_.WaitFor(mutex_, absl::ToChronoNanoseconds(timeout))) break;
  }
  return !closed_ && newer() ? table_ : nullptr;
}

void RouteBoard::Close() {
  MutexLock lock(mutex_);
  closed_ = true;
  changed_.SignalAll();
}

bool RouteBoard::closed() const {
  MutexLock lock(mutex_);
  return closed_;
}

}  // namespace slipway::controller
