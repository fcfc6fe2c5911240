// An infer request over HTTP, JSON alone or with binary tensors after it: the contents that come
// out never go beyond the body.

#include <optional>
#include <string>
#include <vector>

#include "services/gateway/oip/infer_json.h"
#include "tests/fuzz/fuzz.h"

namespace {

// Two bytes with the JSON's length (0xffff: there is no such header), then the body.
std::string Input(uint16_t json_bytes, const std::string& body) {
  return std::string{static_cast<char>(json_bytes >> 8), static_cast<char>(json_bytes)} + body;
}

}  // namespace

std::vector<std::string> slipway::FuzzSeeds() {
  const std::string json =
      R"({"id":"1","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32",)"
      R"("parameters":{"binary_data_size":8}},{"name":"y","shape":[2],"datatype":"BYTES",)"
      R"("data":["a","\u00e9"]}],"outputs":[{"name":"z","parameters":{"binary_data":true}}]})";
  return {Input(static_cast<uint16_t>(json.size()), json + "12345678"),
          Input(0xffff, R"({"inputs":[{"name":"x","shape":[2,2],"datatype":"INT64",)"
                        R"("data":[[1,2],[-3,4]]}],"parameters":{"a":1.5,"b":[1]}})"),
          Input(0, "12345678")};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace slipway;
  if (size < 2) return 0;
  const uint16_t length = static_cast<uint16_t>(data[0] << 8 | data[1]);
  std::string body(reinterpret_cast<const char*>(data) + 2, size - 2);
  const size_t body_bytes = body.size();
  gateway::InferRequest request;
  gateway::AnswerForm form;
  const absl::Status status = gateway::ReadInferRequest(
      std::move(body), length == 0xffff ? std::nullopt : std::optional<uint64_t>(length), request,
      form);
  if (!status.ok()) return 0;
  FuzzExpect(request.contents.size() == static_cast<size_t>(request.head.inputs_size()),
             "every input has contents");
  size_t bytes = 0;
  for (const absl::Cord& content : request.contents) bytes += content.size();
  // An element of JSON takes one byte at least, and is at most eight bytes; or a text and its
  // length.
  FuzzExpect(bytes <= 8 * body_bytes, "contents are what came");
  return 0;
}
