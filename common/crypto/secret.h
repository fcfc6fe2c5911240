#ifndef SLIPWAY_COMMON_CRYPTO_SECRET_H_
#define SLIPWAY_COMMON_CRYPTO_SECRET_H_

#include <iosfwd>
#include <string>
#include <string_view>
#include <utility>

namespace slipway {

/// Bytes that must not be seen: a pepper, a password, a private key. They are wiped when the
/// owner goes, and nothing prints them: no stream, no fmt, no log field takes a Secret, so that
/// leaking one has to be asked for by name. A value; any number of threads may read it.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string bytes) : bytes_(std::move(bytes)) {}
  ~Secret() { Wipe(); }
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept : bytes_(std::move(other.bytes_)) { other.Wipe(); }
  Secret& operator=(const Secret& other) {
    if (this != &other) {
      Wipe();
      bytes_ = other.bytes_;
    }
    return *this;
  }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      Wipe();
      bytes_ = std::move(other.bytes_);
      other.Wipe();
    }
    return *this;
  }

  /// The bytes themselves. Valid as long as this Secret is neither changed nor destroyed.
  std::string_view Reveal() const { return bytes_; }
  bool empty() const { return bytes_.empty(); }
  size_t size() const { return bytes_.size(); }

  friend std::ostream& operator<<(std::ostream&, const Secret&) = delete;

 private:
  void Wipe();

  std::string bytes_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_CRYPTO_SECRET_H_
