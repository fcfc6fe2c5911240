#ifndef SLIPWAY_COMMON_HTTP_CLIENT_SOURCE_BUFFER_H_
#define SLIPWAY_COMMON_HTTP_CLIENT_SOURCE_BUFFER_H_

#include <cpprest/astreambuf.h>

#include <cstdint>
#include <functional>
#include <ios>
#include <utility>

namespace slipway::http {

/// The read side of a cpprest stream that takes its bytes from a function. The function is called
/// on cpprest's threads, one call at a time; 0 is the end.
class SourceBuffer final : public concurrency::streams::details::streambuf_state_manager<uint8_t> {
 public:
  using Source = std::function<size_t(char* into, size_t most)>;

  explicit SourceBuffer(Source source)
      : streambuf_state_manager(std::ios_base::in), source_(std::move(source)) {}

  bool can_seek() const override { return false; }
  bool has_size() const override { return false; }
  size_t buffer_size(std::ios_base::openmode) const override { return 0; }
  void set_buffer_size(size_t, std::ios_base::openmode) override {}
  size_t in_avail() const override { return 0; }
  pos_type getpos(std::ios_base::openmode) const override { return kNowhere; }
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
  pplx::task<size_t> _getn(uint8_t* into, size_t most) override {
    return pplx::task_from_result(source_(reinterpret_cast<char*>(into), most));
  }
  // A byte at a time nothing is read here, and nothing is written at all.
  pplx::task<int_type> _bumpc() override { return Nothing(); }
  int_type _sbumpc() override { return traits::eof(); }
  pplx::task<int_type> _getc() override { return Nothing(); }
  int_type _sgetc() override { return traits::eof(); }
  pplx::task<int_type> _nextc() override { return Nothing(); }
  pplx::task<int_type> _ungetc() override { return Nothing(); }
  size_t _scopy(uint8_t*, size_t) override { return 0; }
  pplx::task<int_type> _putc(uint8_t) override { return Nothing(); }
  pplx::task<size_t> _putn(const uint8_t*, size_t) override {
    return pplx::task_from_result<size_t>(0);
  }
  pplx::task<bool> _sync() override { return pplx::task_from_result(true); }
  uint8_t* _alloc(size_t) override { return nullptr; }
  void _commit(size_t) override {}

 private:
  static constexpr off_type kNowhere = -1;
  static pplx::task<int_type> Nothing() { return pplx::task_from_result<int_type>(traits::eof()); }

  const Source source_;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_CLIENT_SOURCE_BUFFER_H_
