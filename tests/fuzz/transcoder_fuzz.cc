// Path, query and JSON of the public API: what becomes a request message is written back as JSON
// that becomes the same message.

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/descriptor.h"
#include "google/protobuf/message.h"
#include "google/protobuf/util/field_comparator.h"
#include "google/protobuf/util/message_differencer.h"
#include "nlohmann/json.hpp"
#include "services/gateway/api/json_reader.h"
#include "services/gateway/api/transcoder.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace slipway;
using gateway::MethodTable;

const MethodTable& Table() {
  static const MethodTable& table = *[] {
    std::set<std::string> local;
    for (const auto* service : gateway::PublicServices()) {
      for (int i = 0; i < service->method_count(); ++i) {
        const auto* method = service->method(i);
        if (method->options().GetExtension(options::v1::method).forward().empty()) {
          local.insert(service->full_name() + "/" + method->name());
        }
      }
    }
    return new MethodTable(MethodTable::Build(gateway::PublicServices(), local).value());
  }();
  return table;
}

std::string_view TakeLine(std::string_view& text) {
  const size_t end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

}  // namespace

// The HTTP method, the target, and the body behind them.
std::vector<std::string> slipway::FuzzSeeds() {
  return {
      "POST\n/api/v1/tenants/a/models?modelId=m&requestId=r\n{\"description\":\"d\"}",
      "GET\n/api/v1/tenants/a/models?page_size=5&pageToken=x%2By+z\n",
      "PATCH\n/api/v1/tenants/a/deployments/d\n{\"replicas\":2,\"labels\":{\"a\":\"b\"}}",
      "GET\n/api/v1/tenants/a/usage?startTime=2030-01-31T12:00:00.5Z\n",
      "POST\n/api/v1/tenants/a/jobs\n{\"spec\":{\"a\":[1,2.5,null,true,{\"b\":\"\\u00e9\"}]}}",
      "PUT\n/api/v1/tenants/a/models/m/aliases/s\n{\"version\":\"tenants/a/models/m/versions/1\"}"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view body(reinterpret_cast<const char*>(data), size);
  const std::string_view method = TakeLine(body);
  const std::string_view target = TakeLine(body);
  const size_t mark = std::min(target.find('?'), target.size());
  const auto path = gateway::RequestPath::Parse(target.substr(0, mark));
  if (!path.ok()) return 0;
  const MethodTable::Lookup lookup = Table().Find(method, *path);
  if (!lookup.match) return 0;
  const auto request =
      gateway::ReadRequest(*lookup.match, target.substr(std::min(mark + 1, target.size())), body);
  if (!request.ok()) {
    FuzzExpect(ToHttpCode(request.status()) / 100 == 4, "what is refused is the caller's fault");
    return 0;
  }
  const std::string json = gateway::ToJson(**request);
  const auto parsed = nlohmann::json::parse(json, nullptr, /*allow_exceptions=*/false);
  FuzzExpect(!parsed.is_discarded(), "what is written is JSON");
  const std::unique_ptr<google::protobuf::Message> again((*request)->New());
  FuzzExpect(gateway::ReadMessage(parsed, "", *again).ok(), "what is written is read");
  google::protobuf::util::DefaultFieldComparator numbers;
  numbers.set_treat_nan_as_equal(true);
  google::protobuf::util::MessageDifferencer differencer;
  differencer.set_field_comparator(&numbers);
  FuzzExpect(differencer.Compare(**request, *again), "and is the same message");
  return 0;
}
