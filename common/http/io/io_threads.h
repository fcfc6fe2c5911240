#ifndef SLIPWAY_COMMON_HTTP_IO_IO_THREADS_H_
#define SLIPWAY_COMMON_HTTP_IO_IO_THREADS_H_

#include <memory>
#include <vector>

namespace slipway::http {

class IoLoop;

/// I/O threads that listeners and channels share, so that a request and the calls that it makes
/// need no second thread. Outlives what lives on it. Any thread.
class IoThreads {
 public:
  /// Starts `count` of them.
  explicit IoThreads(int count);
  /// Not on one of them.
  ~IoThreads();
  IoThreads(const IoThreads&) = delete;
  IoThreads& operator=(const IoThreads&) = delete;

  const std::vector<std::shared_ptr<IoLoop>>& loops() const { return loops_; }

 private:
  std::vector<std::shared_ptr<IoLoop>> loops_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_IO_IO_THREADS_H_
