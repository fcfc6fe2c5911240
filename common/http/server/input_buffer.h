#ifndef SLIPWAY_COMMON_HTTP_SERVER_INPUT_BUFFER_H_
#define SLIPWAY_COMMON_HTTP_SERVER_INPUT_BUFFER_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace slipway::http {

/// Bytes that came from a socket and are not used up yet, in one piece. Holds no memory until
/// space is asked for. One thread at a time.
class InputBuffer {
 public:
  std::string_view view() const { return {data_.get() + begin_, end_ - begin_}; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  size_t capacity() const { return capacity_; }

  /// Free space behind the bytes, after growth to `capacity` in all. Moves the bytes, so that
  /// earlier views end.
  std::pair<char*, size_t> Prepare(size_t capacity) {
    if (capacity > capacity_) {
      // Not make_unique, which would write zeros into memory that the socket fills anyway.
      std::unique_ptr<char[]> grown(new char[capacity]);
      if (!empty()) std::memcpy(grown.get(), data_.get() + begin_, size());
      data_ = std::move(grown);
      capacity_ = capacity;
    } else if (begin_ > 0 && !empty()) {
      std::memmove(data_.get(), data_.get() + begin_, size());
    }
    end_ -= begin_;
    begin_ = 0;
    return {data_.get() + end_, capacity_ - end_};
  }

  /// The first `bytes` of the space that Prepare gave hold data now.
  void Commit(size_t bytes) { end_ += bytes; }

  /// The free space stays where it is: a read into it may be under way.
  void Consume(size_t bytes) { begin_ += bytes; }

  /// Gives the memory back; the bytes must be used up.
  void Release() {
    data_.reset();
    capacity_ = begin_ = end_ = 0;
  }

 private:
  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_SERVER_INPUT_BUFFER_H_
