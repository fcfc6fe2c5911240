#include "common/config/config.h"

#include <string>
#include <vector>

#include "common/fields/json.h"
#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/temp_dir.h"
#include "tests/unit/common/config/harbour_config.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class ConfigTest : public ::testing::Test {
 protected:
  // Loads what `yaml`, `environment` and `settings` say; "" means no file.
  absl::Status Load(const std::string& yaml, ConfigFields::Environment environment = {},
                    std::vector<std::pair<std::string, std::string>> settings = {}) {
    config_ = HarbourConfig();
    ConfigFields fields;
    config_.Describe(fields);
    ConfigFields::CommandLine line;
    if (!yaml.empty()) {
      line.config_file = dir_ / "harbour.yaml";
      EXPECT_TRUE(WriteFileAtomically(line.config_file, yaml).ok());
    }
    line.settings = std::move(settings);
    return fields.Load("harbour", line, environment);
  }
  std::string ErrorOf(const std::string& yaml) { return std::string(Load(yaml).message()); }

  const TempDir dir_;
  HarbourConfig config_;
};

TEST_F(ConfigTest, KeepsDefaultsWhereNothingIsSaid) {
  ASSERT_TRUE(Load("").ok());
  EXPECT_EQ(config_.listen, "unix:/run/slipway/harbour.sock");
  EXPECT_EQ(config_.drain_timeout, absl::Seconds(20));
  ASSERT_TRUE(Load("listen:\nlimits:\n").ok());
  EXPECT_EQ(config_.listen, "unix:/run/slipway/harbour.sock");
  ASSERT_TRUE(Load("# nothing\n").ok());
}

TEST_F(ConfigTest, ReadsEveryTypeFromAFile) {
  const absl::Status status = Load(R"(
listen: 127.0.0.1:0
open: false
cranes: 7
drain_timeout: 1m30s
mode: safe
flags: [x, "7"]
pepper_file: /etc/pepper
limits:
  max_bytes: 0x10
  port: 65535
  share: 1
berths:
  - name: north
    length_metres: 120
  - name: south
log: {level: debug}
)");
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(config_.listen, "127.0.0.1:0");
  EXPECT_FALSE(config_.open);
  EXPECT_EQ(config_.cranes, 7);
  EXPECT_EQ(config_.drain_timeout, absl::Seconds(90));
  EXPECT_EQ(config_.mode, "safe");
  EXPECT_THAT(config_.flags, ElementsAre("x", "7"));
  EXPECT_EQ(config_.pepper_file.path(), "/etc/pepper");
  EXPECT_EQ(config_.limits.max_bytes, 16);
  EXPECT_EQ(config_.limits.port, 65535);
  EXPECT_EQ(config_.limits.share, 1.0);
  ASSERT_EQ(config_.berths.size(), 2u);
  EXPECT_EQ(config_.berths[0].name, "north");
  EXPECT_EQ(config_.berths[0].length_metres, 120);
  EXPECT_EQ(config_.berths[1].length_metres, 10);
  EXPECT_EQ(config_.log.level, "debug");
}

TEST_F(ConfigTest, ReadsEveryTypeFromTheEnvironment) {
  const absl::Status status =
      Load("", {"SLIPWAY_HARBOUR_LISTEN=12", "SLIPWAY_HARBOUR_OPEN=false",
                "SLIPWAY_HARBOUR_DRAIN_TIMEOUT=5s", "SLIPWAY_HARBOUR_LIMITS_PORT=8080",
                "SLIPWAY_HARBOUR_LIMITS_SHARE=0.25", "SLIPWAY_HARBOUR_FLAGS=x,y z,",
                "SLIPWAY_HARBOUR_BERTHS=[{name: north}]", "SLIPWAY_HARBOUR_LOG_LEVEL=error",
                "SLIPWAY_OTHER_THING=1", "PATH=/bin"});
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(config_.listen, "12");
  EXPECT_FALSE(config_.open);
  EXPECT_EQ(config_.drain_timeout, absl::Seconds(5));
  EXPECT_EQ(config_.limits.port, 8080);
  EXPECT_EQ(config_.limits.share, 0.25);
  EXPECT_THAT(config_.flags, ElementsAre("x", "y z"));
  ASSERT_EQ(config_.berths.size(), 1u);
  EXPECT_EQ(config_.berths[0].name, "north");
  EXPECT_EQ(config_.log.level, "error");
}

TEST_F(ConfigTest, LetsTheLaterSourceWin) {
  const std::string file = "cranes: 1\nmode: safe\nlimits: {port: 1}\n";
  ASSERT_TRUE(
      Load(file, {"SLIPWAY_HARBOUR_CRANES=2", "SLIPWAY_HARBOUR_LIMITS_PORT=2"}, {{"cranes", "3"}})
          .ok());
  EXPECT_EQ(config_.cranes, 3);
  EXPECT_EQ(config_.limits.port, 2);
  EXPECT_EQ(config_.mode, "safe");
}

TEST_F(ConfigTest, RefusesAnUnknownKeyByItsPathLineAndNearestName) {
  EXPECT_EQ(ErrorOf("open: true\nlimits:\n  prot: 1\n"),
            dir_ / "harbour.yaml" + ":3: limits.prot: is not a setting; did you mean port?");
  EXPECT_THAT(ErrorOf("zzzzzzzz: 1\n"), HasSubstr(":1: zzzzzzzz: is not a setting"));
  EXPECT_THAT(ErrorOf("berths:\n  - name: x\n    lenght_metres: 3\n"),
              HasSubstr(":3: berths[0].lenght_metres: is not a setting; did you mean"));
  EXPECT_EQ(Load("", {"SLIPWAY_HARBOUR_LISTN=x"}).message(),
            "environment: SLIPWAY_HARBOUR_LISTN: is not a setting; did you mean "
            "SLIPWAY_HARBOUR_LISTEN?");
  EXPECT_EQ(Load("", {}, {{"limits.prot", "1"}}).message(),
            "--set: limits.prot: is not a setting; did you mean limits.port?");
  EXPECT_FALSE(Load("", {}, {{"limits", "{}"}}).ok());
}

TEST_F(ConfigTest, RefusesTheWrongTypeByLine) {
  EXPECT_THAT(ErrorOf("cranes: many\n"),
              HasSubstr(":1: cranes: must be a whole number, got \"many\""));
  EXPECT_THAT(ErrorOf("cranes: 1.5\n"), HasSubstr("must be a whole number, got 1.5"));
  EXPECT_THAT(ErrorOf("open: yes\n"), HasSubstr("open: must be true or false, got \"yes\""));
  EXPECT_THAT(ErrorOf("listen: 8080\n"), HasSubstr("listen: must be text"));
  EXPECT_THAT(ErrorOf("limits: 3\n"), HasSubstr("limits: must hold settings, got 3"));
  EXPECT_THAT(ErrorOf("limits: {share: x}\n"), HasSubstr("limits.share: must be a number"));
  EXPECT_THAT(ErrorOf("drain_timeout: 30\n"), HasSubstr("drain_timeout: must be a duration"));
  EXPECT_THAT(ErrorOf("mode: slow\n"), HasSubstr("mode: must be one of fast, safe, got \"slow\""));
  EXPECT_THAT(ErrorOf("flags: a\n"), HasSubstr("flags: must be a list of texts"));
  EXPECT_THAT(ErrorOf("flags: [1]\n"), HasSubstr("flags: must be a list of texts"));
  EXPECT_THAT(ErrorOf("berths: {}\n"), HasSubstr("berths: must be a list"));
  EXPECT_THAT(ErrorOf("pepper_file: 1\n"), HasSubstr("pepper_file: must be the path of a file"));
  EXPECT_THAT(ErrorOf("- a\n"), HasSubstr("must hold settings"));
}

TEST_F(ConfigTest, RefusesWhatIsOutOfRange) {
  EXPECT_THAT(ErrorOf("cranes: 65\n"), HasSubstr("cranes: must be between 0 and 64, got 65"));
  EXPECT_THAT(ErrorOf("cranes: -1\n"), HasSubstr("must be between 0 and 64"));
  EXPECT_THAT(ErrorOf("limits: {port: 65536}\n"), HasSubstr("must be between 0 and 65535"));
  EXPECT_THAT(ErrorOf("limits: {max_bytes: 0}\n"), HasSubstr("limits.max_bytes: must be"));
  EXPECT_THAT(ErrorOf("limits: {max_bytes: 18446744073709551615}\n"), HasSubstr("max_bytes: must"));
  EXPECT_THAT(ErrorOf("limits: {share: 1.01}\n"), HasSubstr("must be between 0 and 1"));
  EXPECT_THAT(ErrorOf("drain_timeout: 0\n"), HasSubstr("must be between 1s and 1h"));
  EXPECT_THAT(ErrorOf("drain_timeout: -5s\n"), HasSubstr("must be between 1s and 1h"));
}

TEST_F(ConfigTest, TellsAllFaultsAtOnce) {
  const std::string error(
      Load("cranes: x\nopne: true\n", {"SLIPWAY_HARBOUR_MODE=slow"}, {{"listn", "x"}}).message());
  EXPECT_THAT(error, HasSubstr("cranes"));
  EXPECT_THAT(error, HasSubstr("opne"));
  EXPECT_THAT(error, HasSubstr("SLIPWAY_HARBOUR_MODE: mode: must be one of"));
  EXPECT_THAT(error, HasSubstr("listn"));
  EXPECT_EQ(std::count(error.begin(), error.end(), '\n'), 3);
}

TEST_F(ConfigTest, RefusesAFileThatIsAbsentOrNoYaml) {
  EXPECT_THAT(ErrorOf("a: [\n"), HasSubstr("harbour.yaml"));
  EXPECT_THAT(ErrorOf("cranes: 1\ncranes: 2\n"), HasSubstr("is given twice (line 2)"));
  ConfigFields fields;
  config_.Describe(fields);
  ConfigFields::CommandLine line;
  line.config_file = dir_ / "absent.yaml";
  EXPECT_THAT(std::string(fields.Load("harbour", line, {}).message()), HasSubstr("absent.yaml"));
}

TEST_F(ConfigTest, PassesOverTheVariablesOfKubernetesServices) {
  const absl::Status status = Load(
      "", {"SLIPWAY_HARBOUR_SERVICE_HOST=10.0.0.1", "SLIPWAY_HARBOUR_SERVICE_PORT=9000",
           "SLIPWAY_HARBOUR_SERVICE_PORT_GRPC=9000", "SLIPWAY_HARBOUR_PORT=tcp://10.0.0.1:9000",
           "SLIPWAY_HARBOUR_PORT_9000_TCP=tcp://10.0.0.1:9000",
           "SLIPWAY_HARBOUR_PORT_9000_TCP_PROTO=tcp", "SLIPWAY_HARBOUR_PORT_9000_TCP_PORT=9000",
           "SLIPWAY_HARBOUR_PORT_9000_TCP_ADDR=10.0.0.1"});
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(ConfigTest, PrintsYamlThatLoadsBackToTheSame) {
  ASSERT_TRUE(Load("cranes: 9\nberths: [{name: 'a: \"b\"'}, {length_metres: 3}]\nflags: []\n"
                   "limits: {share: 0.1}\ndrain_timeout: 90s\n")
                  .ok());
  ConfigFields fields;
  config_.Describe(fields);
  const std::string yaml = fields.ToYaml();
  ASSERT_TRUE(Load(yaml).ok()) << Load(yaml) << yaml;
  ConfigFields again;
  config_.Describe(again);
  EXPECT_EQ(again.ToYaml(), yaml);
  EXPECT_EQ(config_.cranes, 9);
  EXPECT_EQ(config_.berths[0].name, "a: \"b\"");
  EXPECT_EQ(config_.berths[1].length_metres, 3);
  EXPECT_EQ(config_.limits.share, 0.1);
  EXPECT_THAT(yaml, HasSubstr("# How many cranes (0 to 64)\ncranes: 9\n"));
}

TEST_F(ConfigTest, ShowsTheFieldsOfAnEmptyListInComments) {
  ConfigFields fields;
  config_.Describe(fields);
  EXPECT_THAT(fields.ToYaml(), HasSubstr("berths: []\n#   - # What the berth is called\n"
                                         "#     name: \"none\"\n"));
}

TEST_F(ConfigTest, PrintsEveryKeyAsJson) {
  ConfigFields fields;
  config_.Describe(fields);
  const auto parsed = ParseJson(fields.ToJson("harbour"), "config");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  std::vector<std::string> keys;
  for (const auto& [key, value] : parsed->items()) keys.push_back(key);
  EXPECT_THAT(keys, ::testing::UnorderedElementsAre(
                        "listen", "open", "cranes", "drain_timeout", "mode", "flags", "pepper_file",
                        "limits.max_bytes", "limits.port", "limits.share", "berths",
                        "berths[].name", "berths[].length_metres", "berths[].pass", "log.level",
                        "log.file", "log.max_file_bytes", "log.max_files"));
  EXPECT_EQ((*parsed)["limits.port"],
            nlohmann::json::parse(R"({"type":"integer","default":80,"description":"A port",
                                      "environment":"SLIPWAY_HARBOUR_LIMITS_PORT"})"));
  EXPECT_EQ((*parsed)["mode"]["choices"], nlohmann::json::parse(R"(["fast","safe"])"));
}

TEST_F(ConfigTest, HelpNamesEverySetting) {
  ConfigFields fields;
  config_.Describe(fields);
  const std::string help = fields.Help("harbour");
  EXPECT_THAT(help, HasSubstr("limits.port = 80\n"));
  EXPECT_THAT(help, HasSubstr("SLIPWAY_HARBOUR_LIMITS_PORT\n"));
}

struct Clash {
  struct Inner {
    int b_c = 0;
    template <class V>
    void Describe(V& v) {
      v.Field("b_c", b_c, "x");
    }
  };
  Inner a;
  int a_b_c = 0;
  template <class V>
  void Describe(V& v) {
    v.Field("a", a, "x");
    v.Field("a_b_c", a_b_c, "x");
  }
};

TEST(ConfigDeathTest, RefusesAStructWhoseVariablesWouldBeCalledTheSame) {
  Clash clash;
  ConfigFields fields;
  clash.Describe(fields);
  EXPECT_DEATH(fields.ToJson("x"), "same environment variable");
}

TEST(ConfigDeathTest, RefusesAFieldTwiceOrBadlyNamed) {
  int value = 0;
  ConfigFields fields;
  fields.Field("a", value, "x");
  EXPECT_DEATH(fields.Field("a", value, "x"), "described twice");
  EXPECT_DEATH(fields.Field("aB", value, "x"), "lower_snake_case");
}

TEST(CommandLineTest, TakesItsFlagsInBothForms) {
  const char* const argv[] = {"slipway-harbour", "--config", "a.yaml",
                              "--set",           "x=1",      "--set=y=a=b"};
  const auto line = ConfigFields::ParseCommandLine(6, argv);
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->config_file, "a.yaml");
  EXPECT_THAT(line->settings, ElementsAre(std::pair("x", "1"), std::pair("y", "a=b")));
}

TEST(CommandLineTest, RefusesEverythingElse) {
  for (const char* bad : {"--confg=x", "extra", "--set=novalue", "--print-config=xml", "--set",
                          "--config", "--help=x", ""}) {
    const char* const argv[] = {"slipway-harbour", bad};
    EXPECT_FALSE(ConfigFields::ParseCommandLine(2, argv).ok()) << bad;
  }
}

TEST(LoadConfigTest, CallsTheStructsOwnCheck) {
  const char* const good[] = {"slipway-harbour", "--set=cranes=12"};
  EXPECT_EQ(LoadConfig<HarbourConfig>("harbour", 2, good)->cranes, 12);
  const char* const bad[] = {"slipway-harbour", "--set=cranes=13"};
  EXPECT_EQ(LoadConfig<HarbourConfig>("harbour", 2, bad).status().message(),
            "cranes: must not be 13");
}

}  // namespace
}  // namespace slipway
