#include "common/fields/json.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string JsonError(std::string_view text, const DocumentLimits& limits = {}) {
  return std::string(ParseJson(text, "spec", limits).status().message());
}
std::string YamlError(std::string_view text, const DocumentLimits& limits = {}) {
  return std::string(ParseYaml(text, "spec", limits).status().message());
}

TEST(JsonTest, ReadsEveryKindOfValue) {
  const auto value = ParseJson(R"({"a":[1,-2,3.5,true,null,"x"],"b":{}})", "spec");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(*value, json::parse(R"({"a":[1,-2,3.5,true,null,"x"],"b":{}})"));
}

TEST(JsonTest, RefusesADuplicateKeyAndNamesItsPath) {
  EXPECT_EQ(JsonError(R"({"model":[{"x":0},{"hidden":1,"hidden":2}]})"),
            "spec.model[1].hidden: is given twice");
  EXPECT_EQ(FieldOf(ParseJson(R"({"a":1,"a":1})", "").status()), "a");
}

TEST(JsonTest, RefusesNumbersThatNoDoubleHolds) {
  EXPECT_THAT(JsonError(R"({"rate":1e999})"), HasSubstr("a number that no double can"));
  EXPECT_THAT(JsonError(R"([NaN])"), HasSubstr("is not JSON"));
}

TEST(JsonTest, SaysAtWhichByteTheSyntaxBreaks) {
  EXPECT_EQ(JsonError(R"({"a":1,})"), "spec: is not JSON: the syntax breaks at byte 8");
  EXPECT_THAT(JsonError(""), HasSubstr("is not JSON"));
  EXPECT_THAT(JsonError("{} {}"), HasSubstr("is not JSON"));
  EXPECT_THAT(JsonError("\"\xff\""), HasSubstr("is not JSON"));
  EXPECT_EQ(JsonError(std::string_view("{}\0{}", 5)),
            "spec: is not JSON: the syntax breaks at byte 3");
}

TEST(JsonTest, RefusesDeepNestingAndTooManyValues) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_THAT(JsonError(deep), HasSubstr("is nested deeper than 32 levels"));
  EXPECT_TRUE(ParseJson(std::string(32, '[') + std::string(32, ']'), "spec").ok());
  EXPECT_EQ(JsonError("[1,2,3]", {.values = 3}), "spec[2]: passes the limit of 3 values");
  EXPECT_EQ(ParseJson("[1,2,3]", "spec", {.bytes = 6}).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(YamlTest, TypesPlainScalarsByTheCoreSchema) {
  const auto value = ParseYaml(R"(
int: 42
negative: -7
hex: 0x1F
real: 0.5
exponent: 1e-3
yes: true
nothing: ~
empty:
text: cross_entropy
quoted: "42"
version: 1.2.3
date: 2024-01-01
list: [1, two, 3.0]
big: 18446744073709551615
)",
                               "spec");
  ASSERT_TRUE(value.ok()) << value.status();
  EXPECT_EQ(*value, json::parse(R"({"int":42,"negative":-7,"hex":31,"real":0.5,"exponent":0.001,
      "yes":true,"nothing":null,"empty":null,"text":"cross_entropy","quoted":"42",
      "version":"1.2.3","date":"2024-01-01","list":[1,"two",3.0],"big":18446744073709551615})"));
}

TEST(YamlTest, RefusesADuplicateKeyAndNamesItsLine) {
  EXPECT_EQ(YamlError("a:\n  b: 1\n  b: 2\n"), "spec.a.b: is given twice (line 3)");
}

TEST(YamlTest, RefusesNumbersThatAreNotFinite) {
  EXPECT_EQ(YamlError("rate: .nan"), "spec.rate: must be a finite number (line 1)");
  EXPECT_EQ(YamlError("rate: 1e999"), "spec.rate: holds a number that no double can (line 1)");
}

TEST(YamlTest, RefusesAliasBombsCyclesTagsAndSecondDocuments) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j ? ",*a" : "*a") + std::to_string(i - 1);
    bomb += "]\n";
  }
  EXPECT_THAT(YamlError(bomb), HasSubstr("passes the limit of 1000000 values"));
  EXPECT_THAT(YamlError("a: !!python/object x"), HasSubstr("tags are not taken"));
  EXPECT_THAT(YamlError("a: 1\n---\nb: 2\n"), HasSubstr("more than one YAML document"));
  EXPECT_THAT(YamlError("a: [1"), HasSubstr("is not YAML"));
  EXPECT_THAT(YamlError(std::string(10'000, '[')), HasSubstr("spec"));
  EXPECT_FALSE(ParseYaml("a: &a [*a]", "spec").ok());
}

TEST(PrintYamlTest, IsReadAsTheSame) {
  const auto document = nlohmann::ordered_json::parse(R"({
    "words": ["true", "null", "~", "1", "1e3", "0x1f", "no", "", " a", "a: b", "- a", "#", "[a]",
              "a, b", "it's", "tab\there", "line\nbreak", "caf\u00e9", "{tenant}", "*", "&a", "!x",
              "plain", "a/b.csv", "-", "2026-11-23", "@"],
    "numbers": [0, -1, 0.2, 1e-05, 1e300, 9007199254740993, 18446744073709551615, 255.0],
    "others": [true, false, null, {}, [], [[1, 2], [3]]],
    "deep": {"list": [{"name": "*", "values": ["a", "b"]}, {"name": "id", "kind": "ignore"}],
             "empty": {}, "a key: with": {"more": 1}},
    "last": "x"})");
  const std::string text = PrintYaml(document);
  const auto read = ParseYaml(text, "document");
  ASSERT_TRUE(read.ok()) << read.status() << "\n" << text;
  EXPECT_EQ(*read, nlohmann::json::parse(document.dump())) << text;
  for (const char* one : {"7", "\"true\"", "{}", "[]", "[1]"}) {
    EXPECT_EQ(*ParseYaml(PrintYaml(nlohmann::ordered_json::parse(one)), "document"),
              nlohmann::json::parse(one));
  }
}

}  // namespace
}  // namespace slipway
