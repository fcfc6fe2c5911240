#include "services/gateway/usage/usage_csv.h"

#include <string_view>

#include "fmt/format.h"
#include "google/protobuf/util/time_util.h"
#include "slipway/gateway/v1/usage.pb.h"

namespace slipway::gateway {
namespace {

std::string Field(std::string_view text) {
  std::string field;
  if (!text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos) {
    field = "'";
  }
  field += text;
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string quoted = "\"";
  for (const char c : field) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

std::string UsageCsvHead() {
  return "id,time,tenant,project,key_id,kind,resource,model_version,quantity,request_id,http_code,"
         "broken,input_bytes,output_bytes,compute_micros,units,asked_for\r\n";
}

std::string UsageCsvLine(const v1::UsageRecord& record) {
  return fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\r\n", Field(record.id()),
                     google::protobuf::util::TimeUtil::ToString(record.time()),
                     Field(record.tenant()), Field(record.project()), Field(record.key_id()),
                     Field(record.kind()), Field(record.resource()), Field(record.model_version()),
                     record.quantity(), Field(record.request_id()), record.http_code(),
                     record.broken(), record.input_bytes(), record.output_bytes(),
                     record.compute_micros(), record.units(), Field(record.asked_for()));
}

}  // namespace slipway::gateway
