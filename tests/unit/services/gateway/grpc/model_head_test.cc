#include "services/gateway/grpc/model_head.h"

#include <string>

#include "gtest/gtest.h"
#include "inference/open_inference.pb.h"

namespace slipway::gateway {
namespace {

inference::ModelInferRequest Request() {
  inference::ModelInferRequest request;
  request.set_model_name("digits");
  request.set_model_version("3");
  request.set_id("my-id");
  (*request.mutable_parameters())["priority"].set_int64_param(1);
  auto& input = *request.add_inputs();
  input.set_name("x");
  input.mutable_contents()->add_fp32_contents(1);
  request.add_raw_input_contents(std::string(1000, 'r'));
  return request;
}

TEST(ReadModelHeadTest, FindsTheNamesAmongTensors) {
  const auto head = ReadModelHead(Request().SerializeAsString());
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->model, "digits");
  EXPECT_EQ(head->version, "3");
  EXPECT_EQ(head->id, "my-id");
  EXPECT_FALSE(head->wants_final);
  EXPECT_EQ(ReadModelHead("")->model, "");
}

// A worker that parses the whole message must come to the same names.
TEST(ReadModelHeadTest, TheLastValueOfAFieldHolds) {
  inference::ModelInferRequest later;
  later.set_model_name("other");
  const std::string bytes = Request().SerializeAsString() + later.SerializeAsString();
  inference::ModelInferRequest parsed;
  ASSERT_TRUE(parsed.ParseFromString(bytes));
  EXPECT_EQ(parsed.model_name(), "other");
  EXPECT_EQ(ReadModelHead(bytes)->model, "other");
}

TEST(ReadModelHeadTest, SeesWhetherTheLastResponseIsToBeMarked) {
  auto request = Request();
  auto& wanted = (*request.mutable_parameters())["triton_enable_empty_final_response"];
  wanted.set_bool_param(true);
  EXPECT_TRUE(ReadModelHead(request.SerializeAsString())->wants_final);
  wanted.set_bool_param(false);
  EXPECT_FALSE(ReadModelHead(request.SerializeAsString())->wants_final);
}

TEST(ReadModelHeadTest, SeesWhichSequenceIsMeant) {
  auto request = Request();
  EXPECT_EQ(ReadModelHead(request.SerializeAsString())->sequence.id, "");
  auto& id = (*request.mutable_parameters())["sequence_id"];
  id.set_int64_param(7);
  EXPECT_EQ(ReadModelHead(request.SerializeAsString())->sequence.id, "7");
  EXPECT_FALSE(ReadModelHead(request.SerializeAsString())->sequence.start);
  id.set_uint64_param(UINT64_MAX);
  (*request.mutable_parameters())["sequence_start"].set_bool_param(true);
  EXPECT_EQ(ReadModelHead(request.SerializeAsString())->sequence.id, "18446744073709551615");
  EXPECT_TRUE(ReadModelHead(request.SerializeAsString())->sequence.start);
  id.set_string_param("7");
  EXPECT_EQ(ReadModelHead(request.SerializeAsString())->sequence.id, "\"7\"");
  // As clients send it where a call belongs to none.
  id.set_int64_param(0);
  EXPECT_EQ(ReadModelHead(request.SerializeAsString())->sequence.id, "");
}

TEST(ReadModelHeadTest, SeesWhichCallsAreLessUrgent) {
  auto request = Request();
  EXPECT_FALSE(ReadModelHead(request.SerializeAsString())->less_urgent) << "the first priority";
  auto& priority = (*request.mutable_parameters())["priority"];
  priority.set_int64_param(2);
  EXPECT_TRUE(ReadModelHead(request.SerializeAsString())->less_urgent);
  priority.set_uint64_param(2);
  EXPECT_TRUE(ReadModelHead(request.SerializeAsString())->less_urgent);
  priority.set_int64_param(0);
  EXPECT_FALSE(ReadModelHead(request.SerializeAsString())->less_urgent) << "as clients say nothing";
  request.clear_parameters();
  EXPECT_FALSE(ReadModelHead(request.SerializeAsString())->less_urgent);
}

TEST(ReadModelHeadTest, RefusesWhatIsNoMessage) {
  const std::string good = Request().SerializeAsString();
  int refused = 0;
  for (size_t size = 1; size < good.size(); ++size) {
    const auto head = ReadModelHead(good.substr(0, size));
    inference::ModelInferRequest parsed;
    // Where the whole parser takes it, so does this one.
    if (parsed.ParseFromString(good.substr(0, size))) {
      EXPECT_TRUE(head.ok()) << size;
    } else if (!head.ok()) {
      EXPECT_TRUE(absl::IsInvalidArgument(head.status()));
      ++refused;
    }
  }
  EXPECT_GT(refused, 900);
}

}  // namespace
}  // namespace slipway::gateway
