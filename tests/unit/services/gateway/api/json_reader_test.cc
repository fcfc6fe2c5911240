#include "services/gateway/api/json_reader.h"

#include <string>

#include "common/fields/json.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "slipway/training/v1/training.pb.h"

namespace slipway::gateway {
namespace {

using ::testing::HasSubstr;
using training::v1::TrainingJob;

template <class Message>
absl::StatusOr<std::string> Read(std::string_view text) {
  ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, ""));
  Message message;
  RETURN_IF_ERROR(ReadMessage(json, "", message));
  std::string out;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(message, &out).ok());
  return out;
}

TEST(JsonReaderTest, ReadsEveryKindOfField) {
  const std::string text =
      R"({"name":"tenants/a/jobs/j","spec":{"data":{"labels":["a","b"],"scale":0.5},)"
      R"("architecture":{"dropout":0.25,"hidden":[1,2],"kind":null,"on":true,"type":"mlp"},)"
      R"("training":{"epochs":3,"seed":"9007199254740993"},)"
      R"("resources":{"timeLimit":"90s"}},"state":"RUNNING",)"
      R"("createTime":"2030-01-31T12:00:00Z","metrics":{"accuracy":0.9}})";
  const auto read = Read<TrainingJob>(text);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(nlohmann::json::parse(*read), nlohmann::json::parse(text));
}

TEST(JsonReaderTest, TakesProtoNamesAndEnumNumbersAndNull) {
  EXPECT_EQ(*Read<TrainingJob>(R"({"model_version":"x"})"), R"({"modelVersion":"x"})");
  EXPECT_EQ(*Read<TrainingJob>(R"({"state":2})"), R"({"state":"RUNNING"})");
  EXPECT_EQ(*Read<TrainingJob>(R"({"name":null,"spec":null,"metrics":null})"), "{}");
}

TEST(JsonReaderTest, TakesIntegersInEveryFormThatLosesNothing) {
  for (const char* value : {"3", "3.0", "3e0", "\"3\"", "30e-1"}) {
    EXPECT_EQ(*Read<TrainingJob>(std::string("{\"priority\":") + value + "}"), R"({"priority":3})");
  }
}

struct Wrong {
  const char* json;
  const char* field;
  const char* problem;
};

TEST(JsonReaderTest, NamesThePathAsTheCallerWroteIt) {
  for (const Wrong& wrong : {
           Wrong{R"({"spec":{"training":{"epochs":"x"}}})", "spec.training.epochs",
                 "must be an integer between -2147483648 and 2147483647, got \"x\""},
           Wrong{R"({"spec":{"training":{"epochs":1.5}}})", "spec.training.epochs", "got 1.5"},
           Wrong{R"({"spec":{"training":{"epochs":2147483648}}})", "spec.training.epochs",
                 "integer"},
           Wrong{R"({"spec":{"training":{"epochs":true}}})", "spec.training.epochs", "got true"},
           Wrong{R"({"spec":{"training":{"epoch":1}}})", "spec.training.epoch",
                 "is not known here; did you mean epochs?"},
           Wrong{R"({"spec":{"training":[]}})", "spec.training", "must be an object, got a list"},
           Wrong{R"({"spec":5})", "spec", "must be an object, got 5"},
           Wrong{R"({"spec":{"data":{"labels":["a",{}]}}})", "spec.data.labels[1]",
                 "must be a text, got an object"},
           Wrong{R"({"spec":{"data":{"labels":"a"}}})", "spec.data.labels", "must be a list"},
           Wrong{R"({"spec":{"data":{"labels":[null]}}})", "spec.data.labels[0]", "got null"},
           Wrong{R"({"state":"FOO"})", "state", "must be one of QUEUED, RUNNING"},
           Wrong{R"({"state":99})", "state", "must be one of"},
           Wrong{R"({"create_time":"tomorrow"})", "create_time", "must be a time like"},
           Wrong{R"({"spec":{"resources":{"timeLimit":60}}})", "spec.resources.timeLimit",
                 "must be a duration"},
           Wrong{R"({"metrics":{"accuracy":"high"}})", "metrics.accuracy", "must be a number"},
           Wrong{R"({"spec":{"data":{"scale":"1e999"}}})", "spec.data.scale", "must be a number"},
           Wrong{R"({"name":5})", "name", "must be a text, got 5"},
           Wrong{R"({"cancelRequested":1})", "cancelRequested", "must be true or false"},
           Wrong{R"({"modelVersion":"a","model_version":"b"})", "model_version", "is given twice"},
           Wrong{R"([])", "body", "must be an object, got a list"},
       }) {
    const auto read = Read<TrainingJob>(wrong.json);
    ASSERT_FALSE(read.ok()) << wrong.json;
    EXPECT_EQ(ToHttpCode(read.status()), 400);
    EXPECT_THAT(FieldOf(read.status()), wrong.field) << wrong.json;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(wrong.problem)) << wrong.json;
  }
}

TEST(JsonReaderTest, RefusesTwoMembersOfAOneof) {
  const auto read = Read<training::v1::Event>(R"({"log":{"text":"a"},"progress":{"epoch":1}})");
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(FieldOf(read.status()), "progress");
}

TEST(JsonReaderTest, ReadsBytesInBothAlphabets) {
  using Body = google::api::HttpBody;
  EXPECT_EQ(*Read<Body>(R"({"data":"+/8="})"), R"({"data":"+/8="})");
  EXPECT_EQ(*Read<Body>(R"({"data":"-_8"})"), R"({"data":"+/8="})");
  EXPECT_FALSE(Read<Body>(R"({"data":"*"})").ok());
}

TEST(JsonReaderTest, NeverShowsAWholeDocumentInAnError) {
  const std::string huge(100'000, 'x');
  const auto value = Read<TrainingJob>(R"({"priority":")" + huge + "\"}");
  EXPECT_LT(value.status().message().size(), 300u);
  const auto key = Read<TrainingJob>("{\"" + huge + "\":1}");
  EXPECT_LT(key.status().message().size(), 300u);
}

absl::StatusOr<std::string> ReadOne(std::string_view field, std::string_view text) {
  TrainingJob job;
  RETURN_IF_ERROR(
      ReadText(text, field, *TrainingJob::descriptor()->FindFieldByName(std::string(field)), job));
  std::string out;
  EXPECT_TRUE(google::protobuf::util::MessageToJsonString(job, &out).ok());
  return out;
}

TEST(JsonReaderTest, ReadsTextIntoOneField) {
  EXPECT_EQ(*ReadOne("priority", "-7"), R"({"priority":-7})");
  EXPECT_EQ(*ReadOne("state", "FAILED"), R"({"state":"FAILED"})");
  EXPECT_EQ(*ReadOne("state", "4"), R"({"state":"FAILED"})");
  EXPECT_EQ(*ReadOne("cancel_requested", "true"), R"({"cancelRequested":true})");
  EXPECT_EQ(*ReadOne("create_time", "2030-01-31T12:00:00Z"),
            R"({"createTime":"2030-01-31T12:00:00Z"})");
  EXPECT_EQ(*ReadOne("name", "5"), R"({"name":"5"})");
  for (const auto& [field, text] :
       std::vector<std::pair<std::string, std::string>>{{"priority", ""},
                                                        {"priority", "1x"},
                                                        {"cancel_requested", "1"},
                                                        {"spec", "{}"},
                                                        {"name", "\xff"},
                                                        {"state", "-3"}}) {
    const auto read = ReadOne(field, text);
    ASSERT_FALSE(read.ok()) << field;
    EXPECT_EQ(FieldOf(read.status()), field);
  }
}

}  // namespace
}  // namespace slipway::gateway
