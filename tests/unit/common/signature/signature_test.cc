#include "common/signature/signature.h"

#include "gtest/gtest.h"
#include "slipway/registry/v1/registry.pb.h"

namespace slipway {
namespace {

TEST(ParseSignatureTest, RefusesWhatIsNoTensorNamingThePlace) {
  registry::v1::Signature signature;
  auto& input = *signature.add_inputs();
  input.set_name("x");
  input.set_datatype("FLOAT");
  EXPECT_EQ(FieldOf(ParseSignature(signature, "signature").status()),
            "signature.inputs[0].datatype");
  input.set_datatype("FP32");
  input.add_shape(-2);
  EXPECT_EQ(FieldOf(ParseSignature(signature, "signature").status()), "signature.inputs[0].shape");
  input.set_shape(0, -1);
  EXPECT_EQ(ParseSignature(signature, "signature")->inputs[0],
            (TensorSpec{"x", DataType::kFp32, {-1}}));
}

TEST(ToProtoTest, IsTheInverseOfParsing) {
  const Signature signature = {{{"x", DataType::kFp32, {-1, 2}}, {"text", DataType::kBytes, {}}},
                               {{"y", DataType::kInt64, {-1}}},
                               {{"x", "y"}}};
  EXPECT_EQ(ParseSignature(ToProto(signature), "signature").value(), signature);
}

}  // namespace
}  // namespace slipway
