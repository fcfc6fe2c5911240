// What proxies say of callers: a PROXY header is the same in whatever pieces it comes, and a caller
// is always an address.

#include <string>
#include <string_view>
#include <vector>

#include "common/http/server/caller_address.h"
#include "common/http/server/proxy_header.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace slipway;
using http::ProxyHeader;

void CheckHeader(std::string_view bytes) {
  const ProxyHeader whole = http::ReadProxyHeader(bytes);
  FuzzExpect(whole.result != ProxyHeader::Result::kDone || whole.size <= bytes.size(),
             "what is taken has come");
  for (size_t size = 0; size < bytes.size() && size < 64; ++size) {
    const ProxyHeader part = http::ReadProxyHeader(bytes.substr(0, size));
    if (part.result == ProxyHeader::Result::kMore) {
      FuzzExpect(part.size > size, "more is wanted than there is");
      FuzzExpect(whole.result != ProxyHeader::Result::kDone || part.size <= whole.size,
                 "and not what follows");
    } else {
      FuzzExpect(
          part.result == whole.result && part.size == whole.size && part.source == whole.source,
          "what was said stays");
    }
  }
}

}  // namespace

std::vector<std::string> slipway::FuzzSeeds() {
  const std::string begin = std::string(http::kProxySignature);
  return {
      begin + std::string("\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x12\x67\x01\xbb", 16),
      begin + std::string("\x20\x00\x00\x00GET /", 9),
      begin + std::string("\x21\x21\x00\x24", 4) + std::string(36, '\x20'), "192.0.2.1, 10.0.0.1",
      "[2001:db8::1]:80,unknown ,::ffff:10.0.0.2, "};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  CheckHeader(bytes);
  static const Networks proxies = *Networks::Parse({"10.0.0.0/8", "2001:db8::/32"}, "proxies");
  http::Headers headers;
  headers.Add("x-forwarded-for", bytes);
  const std::string caller = http::CallerAddress(proxies, "10.0.0.1", headers);
  const auto address = IpAddress::Parse(caller);
  FuzzExpect(address.has_value() && address->ToString() == caller, "a caller is an address");
  const auto network = Network::Parse(bytes);
  FuzzExpect(!network.ok() || bytes.find('\0') == std::string_view::npos, "a network is text");
  return 0;
}
