#ifndef SLIPWAY_COMMON_HTTP_MESSAGE_H_
#define SLIPWAY_COMMON_HTTP_MESSAGE_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace slipway::http {

/// The fields of a message, in their order. Names compare without regard to case; a name may
/// occur more than once. All text lives in one string, so that a message of twenty fields costs
/// two allocations. A value type: one thread at a time.
class Headers {
 public:
  struct Field {
    std::string_view name;
    std::string_view value;
  };

  class Iterator {
   public:
    Iterator(const Headers* headers, size_t at) : headers_(headers), at_(at) {}
    Field operator*() const { return headers_->at(at_); }
    Iterator& operator++() {
      ++at_;
      return *this;
    }
    bool operator==(const Iterator& other) const = default;

   private:
    const Headers* headers_;
    size_t at_;
  };

  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> fields);

  /// Appends a field; earlier ones of that name stay.
  void Add(std::string_view name, std::string_view value);

  /// Puts one field in place of all of that name.
  void Set(std::string_view name, std::string_view value);

  void Remove(std::string_view name);

  /// The first field of that name, or nullopt. Views last until the next change.
  std::optional<std::string_view> Find(std::string_view name) const;

  /// As Find, with "" for an absent field.
  std::string_view Get(std::string_view name) const { return Find(name).value_or(""); }

  bool Has(std::string_view name) const { return Find(name).has_value(); }

  /// Every value of that name, in order.
  std::vector<std::string_view> All(std::string_view name) const;

  size_t size() const { return fields_.size(); }
  bool empty() const { return fields_.empty(); }
  Field at(size_t i) const;
  Iterator begin() const { return Iterator(this, 0); }
  Iterator end() const { return Iterator(this, fields_.size()); }

  void Clear();

 private:
  struct Span {
    uint32_t offset;
    uint32_t name_size;
    uint32_t value_size;
  };

  std::string text_;  // name and value of each field, one after the other
  std::vector<Span> fields_;
};

/// What a message says of its body's length; nothing where it says nothing, or no number.
std::optional<uint64_t> ContentLength(const Headers& headers);

/// True when the names are equal but for the case of ASCII letters.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

/// A whole answer.
struct Response {
  int status = 200;
  Headers headers = {};
  std::string body = {};
  Headers trailers = {};  ///< After the body. HTTP/1.1 sends it in a chunk then, 1.0 drops them.
};

/// The reason phrase that goes with a status ("Not Found"), or "Unknown".
std::string_view ReasonPhrase(int status);

}  // namespace slipway::http

#endif  // SLIPWAY_COMMON_HTTP_MESSAGE_H_
