#include "common/net/network.h"

#include <arpa/inet.h>

#include <algorithm>
#include <utility>

#include "common/text/text.h"
#include "fmt/format.h"

namespace slipway {
namespace {

// What stands before an IPv4 address that is written as IPv6 (RFC 4291, 2.5.5.2).
constexpr std::array<uint8_t, 12> kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr int kV4Bits = 32;
constexpr int kV6Bits = 128;

// The first bits of a byte.
uint8_t FirstBits(uint8_t byte, int bits) { return static_cast<uint8_t>(byte & (0xff00 >> bits)); }

}  // namespace

IpAddress::IpAddress(const V4Bytes& bytes) {
  std::copy(bytes.begin(), bytes.end(), std::copy(kMapped.begin(), kMapped.end(), bytes_.begin()));
}

std::optional<IpAddress> IpAddress::Parse(std::string_view text) {
  const std::string terminated(text);
  if (terminated.size() != std::string_view(terminated.c_str()).size()) return std::nullopt;
  V4Bytes v4;
  if (::inet_pton(AF_INET, terminated.c_str(), v4.data()) == 1) return IpAddress(v4);
  V6Bytes v6;
  if (::inet_pton(AF_INET6, terminated.c_str(), v6.data()) == 1) return IpAddress(v6);
  return std::nullopt;
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  return is_v4() ? ::inet_ntop(AF_INET, bytes_.data() + kMapped.size(), text, sizeof(text))
                 : ::inet_ntop(AF_INET6, bytes_.data(), text, sizeof(text));
}

bool IpAddress::is_v4() const { return std::equal(kMapped.begin(), kMapped.end(), bytes_.begin()); }

absl::StatusOr<Network> Network::Parse(std::string_view text) {
  const auto invalid = [&](std::string_view problem) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" {}", text, problem));
  };
  const size_t slash = text.find('/');
  const std::optional<IpAddress> base = IpAddress::Parse(text.substr(0, slash));
  if (!base) return invalid("is no address and no network, as 192.0.2.0/24 or 2001:db8::/32");
  const int most = base->is_v4() ? kV4Bits : kV6Bits;
  int bits = most;
  if (slash != std::string_view::npos) {
    const std::optional<int> length = ParseNumber<int>(text.substr(slash + 1));
    if (!length || *length < 0 || *length > most) {
      return invalid(fmt::format("has no length from 0 to {} behind its slash", most));
    }
    bits = *length;
  }
  bits += kV6Bits - most;
  const int whole = bits / 8;
  for (int i = whole; i < kV6Bits / 8; ++i) {
    const uint8_t byte = base->bytes_[static_cast<size_t>(i)];
    if (byte != (i == whole ? FirstBits(byte, bits % 8) : 0)) {
      return invalid("has bits behind its length");
    }
  }
  return Network(*base, bits);
}

bool Network::Contains(const IpAddress& address) const {
  if (address.is_v4() != base_.is_v4()) return false;
  const auto whole = static_cast<size_t>(bits_ / 8);
  if (!std::equal(base_.bytes_.begin(), base_.bytes_.begin() + whole, address.bytes_.begin())) {
    return false;
  }
  return bits_ % 8 == 0 || FirstBits(address.bytes_[whole], bits_ % 8) == base_.bytes_[whole];
}

absl::StatusOr<Networks> Networks::Parse(const std::vector<std::string>& texts,
                                         std::string_view field) {
  Networks networks;
  for (const std::string& text : texts) {
    absl::StatusOr<Network> network = Network::Parse(text);
    if (!network.ok()) return InvalidField(field, std::string(network.status().message()));
    networks.networks_.push_back(*std::move(network));
  }
  return networks;
}

bool Networks::Contain(const IpAddress& address) const {
  return std::any_of(networks_.begin(), networks_.end(),
                     [&](const Network& network) { return network.Contains(address); });
}

bool Networks::Contain(std::string_view address) const {
  if (networks_.empty()) return false;
  const std::optional<IpAddress> parsed = IpAddress::Parse(address);
  return parsed && Contain(*parsed);
}

}  // namespace slipway
