#include "common/http/server/caller_address.h"

#include <optional>
#include <string_view>

#include "common/text/text.h"

namespace slipway::http {
namespace {

// Some proxies write a port as well: "192.0.2.1:4711", "[2001:db8::1]:4711".
std::optional<IpAddress> ReadAddress(std::string_view text) {
  if (text.starts_with('[')) {
    const size_t end = text.find(']');
    return end == std::string_view::npos ? std::nullopt : IpAddress::Parse(text.substr(1, end - 1));
  }
  const size_t colon = text.find(':');
  const bool one_colon = colon != std::string_view::npos && colon == text.rfind(':');
  return IpAddress::Parse(one_colon ? text.substr(0, colon) : text);
}

}  // namespace

std::string CallerAddress(const Networks& proxies, const std::string& peer,
                          const Headers& headers) {
  std::optional<IpAddress> caller;
  const auto answer = [&] { return caller ? caller->ToString() : peer; };
  for (size_t i = headers.size(); i-- > 0;) {
    const Headers::Field field = headers.at(i);
    if (!EqualsIgnoringCase(field.name, "x-forwarded-for")) continue;
    for (std::string_view rest = field.value; !rest.empty();) {
      const size_t comma = rest.rfind(',');
      const bool last = comma == std::string_view::npos;
      const std::string_view entry = WithoutBlanks(last ? rest : rest.substr(comma + 1));
      rest = last ? std::string_view() : rest.substr(0, comma);
      if (entry.empty()) continue;
      const std::optional<IpAddress> address = ReadAddress(entry);
      if (!address) return answer();
      caller = address;
      if (!proxies.Contain(*address)) return answer();
    }
  }
  return answer();
}

}  // namespace slipway::http
