// The key that a request carries: however it is carried, it is one key, and only a whole one has an
// id.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "services/gateway/identity/api_key.h"
#include "services/gateway/identity/request_key.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace slipway;

// A line a field, its name up to the first colon.
http::Headers Fields(std::string_view text) {
  http::Headers headers;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t colon = std::min(line.find(':'), line.size());
    headers.Add(line.substr(0, colon), line.substr(std::min(colon + 1, line.size())));
  }
  return headers;
}

constexpr char kKey[] = "slw_local_kabcdefghijklmn7_0123456789abcdefABCDEF01234567893t2Isz";

}  // namespace

std::vector<std::string> slipway::FuzzSeeds() {
  const std::string key = kKey;
  return {"authorization:Bearer " + key, "x-api-key:" + key,
          "Authorization:bearer  " + key + "\nX-Api-Key:" + key, "authorization:Basic abc\nhost:x"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const http::Headers headers = Fields({reinterpret_cast<const char*>(data), size});
  const auto key = gateway::RequestKey(headers);
  if (!key.ok()) return 0;
  for (const http::Headers::Field field : headers) {
    if (http::EqualsIgnoringCase(field.name, "authorization")) {
      FuzzExpect(field.value.ends_with(*key), "all fields carry the same key");
    } else if (http::EqualsIgnoringCase(field.name, "x-api-key")) {
      FuzzExpect(field.value == *key, "all fields carry the same key");
    }
  }
  const auto id = gateway::KeyIdOf(*key);
  if (!id) return 0;
  FuzzExpect(id->size() == 16 && id->starts_with('k'), "an id has its form");
  FuzzExpect(key->find(*id) != std::string_view::npos, "and is in the key");
  for (size_t i = 0; i < key->size(); ++i) {
    std::string changed(*key);
    changed[i] = changed[i] == 'a' ? 'b' : 'a';
    FuzzExpect(changed == *key || !gateway::KeyIdOf(changed), "a key with a slip has none");
  }
  return 0;
}
