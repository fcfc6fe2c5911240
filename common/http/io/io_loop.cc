#include "common/http/io/io_loop.h"

namespace slipway::http {
namespace {

thread_local IoLoop* current = nullptr;

}  // namespace

IoLoop::IoLoop() : work_(boost::asio::make_work_guard(context_)) {}

IoLoop* IoLoop::Current() { return current; }

void IoLoop::Start() {
  thread_ = std::jthread([this] {
    current = this;
    context_.run();
  });
}

void IoLoop::Stop() {
  Post([this] { context_.stop(); });
  if (thread_.joinable()) thread_.join();
  {
    MutexLock lock(mutex_);
    stopped_ = true;
  }
  // What was posted while the thread was on its way out.
  context_.restart();
  context_.poll();
}

}  // namespace slipway::http
