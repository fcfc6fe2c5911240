#ifndef SLIPWAY_COMMON_HTTP_CLIENT_SINK_BUFFER_H_
#define SLIPWAY_COMMON_HTTP_CLIENT_SINK_BUFFER_H_

#include <cpprest/astreambuf.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <string_view>
#include <utility>

#include "common/status/status.h"

namespace slipway::http {

/// The write side of a cpprest stream that hands each piece to a function before it takes the
/// next, so that a body of any length passes in flat memory. (cpprest's own buffers keep all that
/// was not read yet.) An error from the function ends the transfer.
class SinkBuffer final : public concurrency::streams::details::streambuf_state_manager<uint8_t> {
 public:
  using Sink = std::function<absl::Status(std::string_view)>;

  explicit SinkBuffer(Sink sink)
      : streambuf_state_manager(std::ios_base::out), sink_(std::move(sink)) {}

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(size_t, std::ios_base::openmode) override {}
  size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return written_; }
  pos_type seekpos(pos_type, std::ios_base::openmode) override { return kNowhere; }
  pos_type seekoff(off_type, std::ios_base::seekdir, std::ios_base::openmode) override {
    return kNowhere;
  }
  bool acquire(uint8_t*& data, size_t& count) override {
    data = nullptr;
    count = 0;
    return false;
  }
  void release(uint8_t*, size_t) override {}

 protected:
  pplx::task<int_type> _putc(uint8_t byte) override {
    return _putn(&byte, 1).then([byte](size_t) -> int_type { return byte; });
  }
  pplx::task<size_t> _putn(const uint8_t* data, size_t count, bool) override {
    return _putn(data, count);
  }
  pplx::task<size_t> _putn(const uint8_t* data, size_t count) override {
    const absl::Status status = sink_(std::string_view(reinterpret_cast<const char*>(data), count));
    if (!status.ok()) {
      return pplx::task_from_exception<size_t>(std::runtime_error("the sink takes no more"));
    }
    written_ += static_cast<off_type>(count);
    return pplx::task_from_result(count);
  }
  pplx::task<int_type> _bumpc() override { return Nothing(); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return Nothing(); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return Nothing(); }
  pplx::task<int_type> _ungetc() override { return Nothing(); }
  pplx::task<size_t> _getn(uint8_t*, size_t) override { return pplx::task_from_result<size_t>(0); }
  size_t _scopy(uint8_t*, size_t) override { return 0; }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  uint8_t* _alloc(size_t) override { return nullptr; }
  void _commit(size_t) override {}

 private:
  static constexpr off_type kNowhere = -1;
  static pplx::task<int_type> Nothing() { return pplx::task_from_result<int_type>(traits::eof()); }

  const Sink sink_;
  off_type written_ = 0;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_CLIENT_SINK_BUFFER_H_
