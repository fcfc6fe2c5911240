#include "common/http/io/io_threads.h"

#include "common/http/io/io_loop.h"

namespace slipway::http {

IoThreads::IoThreads(int count) {
  for (int i = 0; i < count; ++i) loops_.push_back(std::make_shared<IoLoop>());
  for (const std::shared_ptr<IoLoop>& loop : loops_) loop->Start();
}

IoThreads::~IoThreads() {
  for (const std::shared_ptr<IoLoop>& loop : loops_) loop->Stop();
}

}  // namespace slipway::http
