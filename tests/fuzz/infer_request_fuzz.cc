// A ModelInferRequest of any bytes against a model's signature: tensors come out only where their
// sizes are those of their shapes.

#include <string>
#include <string_view>
#include <vector>

#include "google/protobuf/util/field_comparator.h"
#include "google/protobuf/util/message_differencer.h"
#include "services/inference/infer_codec.h"
#include "tests/fuzz/fuzz.h"

namespace {

using namespace slipway;

const Signature& Model() {
  static const Signature signature = {
      {{"x", DataType::kFp32, {-1, 2}},
       {"text", DataType::kBytes, {-1}},
       {"half", DataType::kBf16, {-1, -1}}},
      {{"scores", DataType::kFp32, {-1, 3}}, {"label", DataType::kInt64, {-1}}}};
  return signature;
}

std::string Request(bool raw) {
  inference::ModelInferRequest request;
  request.set_model_name("m");
  const auto add = [&](const char* name, const char* type, std::vector<int64_t> shape,
                       const std::string& bytes) -> auto& {
    auto& input = *request.add_inputs();
    input.set_name(name);
    input.set_datatype(type);
    for (const int64_t dim : shape) input.add_shape(dim);
    if (raw) request.add_raw_input_contents(bytes);
    return input;
  };
  auto& x = add("x", "FP32", {1, 2}, std::string(8, 'a'));
  auto& text = add("text", "BYTES", {1}, EncodeTexts({"hello"}));
  auto& half = add("half", "BF16", {1, 3}, std::string(6, 'b'));
  if (!raw) {
    x.mutable_contents()->add_fp32_contents(1);
    x.mutable_contents()->add_fp32_contents(2);
    text.mutable_contents()->add_bytes_contents("hello");
    (*half.mutable_parameters())["shared_memory_region"].set_string_param("r");
    (*half.mutable_parameters())["shared_memory_byte_size"].set_int64_param(6);
  }
  auto& output = *request.add_outputs();
  output.set_name("scores");
  (*output.mutable_parameters())["classification"].set_int64_param(2);
  return request.SerializeAsString();
}

}  // namespace

std::vector<std::string> slipway::FuzzSeeds() { return {Request(true), Request(false)}; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  inference::ModelInferRequest request;
  worker::RawContents contents;
  const bool parsed = worker::ParseRequest(bytes, request, contents).ok();
  inference::ModelInferRequest whole;
  FuzzExpect(parsed == whole.ParseFromArray(data, static_cast<int>(size)),
             "what protobuf parses is parsed, and nothing else");
  if (!parsed) return 0;
  inference::ModelInferRequest together = request;
  for (const std::string_view content : contents) {
    together.add_raw_input_contents(content.data(), content.size());
  }
  google::protobuf::util::DefaultFieldComparator numbers;
  numbers.set_treat_nan_as_equal(true);
  google::protobuf::util::MessageDifferencer differencer;
  differencer.set_field_comparator(&numbers);
  FuzzExpect(differencer.Compare(together, whole), "nothing of a request is lost");
  static const worker::SharedMemory memory;
  static const std::string tenant = "acme";
  const auto inputs = worker::DecodeInputs(request, contents, Model(), {&memory, tenant});
  if (inputs.ok()) {
    FuzzExpect(inputs->size() == Model().inputs.size(), "every input is there");
    for (size_t i = 0; i < inputs->size(); ++i) {
      const Tensor& tensor = (*inputs)[i];
      FuzzExpect(tensor.CheckAgainst(Model().inputs[i], "x").ok(), "an input fits its signature");
      const size_t element = ElementSize(tensor.dtype());
      FuzzExpect(element == 0 ||
                     tensor.data().size() == element * static_cast<size_t>(tensor.element_count()),
                 "an input has the bytes of its shape");
      if (element == 0) {
        FuzzExpect(tensor.Texts().size() == static_cast<size_t>(tensor.element_count()),
                   "a text tensor has the elements of its shape");
      }
    }
  }
  const auto choices = worker::ChooseOutputs(request, Model());
  if (choices.ok()) {
    for (const worker::OutputChoice& choice : *choices) {
      FuzzExpect(choice.place < Model().outputs.size() && choice.top_count >= 0,
                 "a choice is one of the model's outputs");
    }
  }
  return 0;
}
