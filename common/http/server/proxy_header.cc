#include "common/http/server/proxy_header.h"

#include <algorithm>
#include <cstdint>

namespace slipway::http {
namespace {

// Signature, version and command, family, and the length of what follows.
constexpr size_t kFixedBytes = 16;
constexpr size_t kMaxBytes = 4 << 10;

constexpr uint8_t kVersion = 2;
constexpr uint8_t kProxy = 1;
constexpr uint8_t kTcp4 = 0x11;
constexpr uint8_t kTcp6 = 0x21;
// Of source and destination, each with a port.
constexpr size_t kTcp4Bytes = 2 * (4 + 2);
constexpr size_t kTcp6Bytes = 2 * (16 + 2);

uint8_t ByteAt(std::string_view bytes, size_t at) { return static_cast<uint8_t>(bytes[at]); }

template <typename Bytes>
IpAddress AddressAt(std::string_view bytes, size_t at) {
  Bytes address;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), address.size(), address.begin());
  return IpAddress(address);
}

}  // namespace

ProxyHeader ReadProxyHeader(std::string_view begin) {
  using Result = ProxyHeader::Result;
  const std::string_view signature = begin.substr(0, kProxySignature.size());
  if (!kProxySignature.starts_with(signature)) return {.result = Result::kNone};
  if (begin.size() < kFixedBytes) return {.result = Result::kMore, .size = kFixedBytes};

  const uint8_t version = ByteAt(begin, 12) >> 4;
  const uint8_t command = ByteAt(begin, 12) & 0xf;
  const uint8_t family = ByteAt(begin, 13);
  const size_t length = static_cast<size_t>(ByteAt(begin, 14) << 8 | ByteAt(begin, 15));
  const size_t size = kFixedBytes + length;
  if (version != kVersion || command > kProxy || size > kMaxBytes) {
    return {.result = Result::kMalformed};
  }
  const bool tcp4 = command == kProxy && family == kTcp4;
  const bool tcp6 = command == kProxy && family == kTcp6;
  if ((tcp4 && length < kTcp4Bytes) || (tcp6 && length < kTcp6Bytes)) {
    return {.result = Result::kMalformed};
  }
  if (begin.size() < size) return {.result = Result::kMore, .size = size};
  ProxyHeader header = {.result = Result::kDone, .size = size};
  if (tcp4) header.source = AddressAt<IpAddress::V4Bytes>(begin, kFixedBytes);
  if (tcp6) header.source = AddressAt<IpAddress::V6Bytes>(begin, kFixedBytes);
  return header;
}

}  // namespace slipway::http
