#ifndef SLIPWAY_COMMON_NET_NETWORK_H_
#define SLIPWAY_COMMON_NET_NETWORK_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/status/status.h"

namespace slipway {

/// An address of IPv4 or IPv6. An IPv4 address that is written as IPv6 (::ffff:192.0.2.1) is the
/// IPv4 address. A value type.
class IpAddress {
 public:
  using V4Bytes = std::array<uint8_t, 4>;
  using V6Bytes = std::array<uint8_t, 16>;

  /// Bytes in network order.
  explicit IpAddress(const V4Bytes& bytes);
  explicit IpAddress(const V6Bytes& bytes) : bytes_(bytes) {}

  /// "192.0.2.1", "2001:db8::1"; no port, no brackets, no zone.
  static std::optional<IpAddress> Parse(std::string_view text);

  /// In its shortest form.
  std::string ToString() const;

  bool is_v4() const;

  bool operator==(const IpAddress&) const = default;

 private:
  friend class Network;

  V6Bytes bytes_;
};

/// The addresses that share their first bits: 192.0.2.0/24 (CIDR, RFC 4632), 2001:db8::/32, or one
/// address alone. 0.0.0.0/0 is all of IPv4, ::/0 all of IPv6. A value type.
class Network {
 public:
  /// kInvalidArgument says what is wrong with `text`: no network at all, a length that is too
  /// large, or bits behind the length, which is rather a slip than a network.
  static absl::StatusOr<Network> Parse(std::string_view text);

  bool Contains(const IpAddress& address) const;

 private:
  Network(const IpAddress& base, int bits) : base_(base), bits_(bits) {}

  IpAddress base_;
  int bits_;  // of IPv6's 128
};

/// Any of some networks. A value type.
class Networks {
 public:
  Networks() = default;

  /// Errors: InvalidField of `field`, which names the text.
  static absl::StatusOr<Networks> Parse(const std::vector<std::string>& texts,
                                        std::string_view field);

  bool empty() const { return networks_.empty(); }

  bool Contain(const IpAddress& address) const;
  /// False for what is no address, as a Unix socket's peer.
  bool Contain(std::string_view address) const;

 private:
  std::vector<Network> networks_;
};

}  // namespace slipway

#endif  // SLIPWAY_COMMON_NET_NETWORK_H_
