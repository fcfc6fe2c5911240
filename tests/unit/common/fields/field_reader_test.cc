#include "common/fields/field_reader.h"

#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "common/fields/field_writer.h"
#include "common/fields/kinds.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace slipway {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

enum class Colour { kRed, kBlue };
constexpr std::array<Name<Colour>, 2> kColours = {{{"red", Colour::kRed}, {"blue", Colour::kBlue}}};

struct Point {
  int32_t x = 0;
  double weight = 1;
  template <class V>
  void Describe(V& v) {
    v.Int("x", x, {.min = -10, .max = 10, .required = true});
    v.Real("weight", weight, {.above = 0});
  }
};

struct Drawing {
  std::string title = "untitled";
  Colour colour = Colour::kRed;
  bool filled = false;
  uint64_t seed = 1;
  uint8_t small = 0;
  double opacity = 1;
  std::vector<int64_t> sizes = {1};
  std::vector<double> rates;
  std::vector<std::string> tags;
  Point centre;
  std::optional<Point> corner;
  std::vector<Point> points;
  json extra;

  template <class V>
  void Describe(V& v) {
    v.Text("title", title, {.min = 1, .max = 8});
    v.Enum("colour", colour, kColours);
    v.Bool("filled", filled);
    v.Int("seed", seed);
    v.Int("small", small);
    v.Real("opacity", opacity, {.min = 0, .below = 1.5});
    v.Ints("sizes", sizes, {.min = 1, .max = 4096}, {.min = 1, .max = 4});
    v.Reals("rates", rates);
    v.Texts("tags", tags);
    v.Object("centre", centre);
    v.Object("corner", corner);
    v.Objects("points", points, {.max = 3});
    v.Raw("extra", extra);
  }
};

std::string ErrorOf(const std::string& text) {
  Drawing drawing;
  return std::string(ReadFields(json::parse(text), "spec", drawing).message());
}

TEST(FieldReaderTest, KeepsDefaultsWhereFieldsAreAbsentOrNull) {
  Drawing drawing;
  ASSERT_TRUE(ReadFields(json::parse(R"({"title":null})"), "spec", drawing).ok());
  EXPECT_EQ(drawing.title, "untitled");
  EXPECT_EQ(drawing.sizes, std::vector<int64_t>{1});
  EXPECT_FALSE(drawing.corner.has_value());
}

TEST(FieldReaderTest, ReadsEveryKindOfField) {
  Drawing drawing;
  const absl::Status status = ReadFields(
      json::parse(R"({"title":"t","colour":"blue","filled":true,"seed":18446744073709551615,
        "small":255,"opacity":0,"sizes":[1,4096],"rates":[0.5,1],"tags":["a"],
        "centre":{"x":-3},"corner":{"x":1,"weight":2},"points":[{"x":1},{"x":2}],
        "extra":{"free":[1]}})"),
      "spec", drawing);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(drawing.colour, Colour::kBlue);
  EXPECT_TRUE(drawing.filled);
  EXPECT_EQ(drawing.seed, 18446744073709551615u);
  EXPECT_EQ(drawing.small, 255);
  EXPECT_EQ(drawing.centre.x, -3);
  EXPECT_EQ(drawing.corner->weight, 2);
  EXPECT_EQ(drawing.points.size(), 2u);
  EXPECT_EQ(drawing.extra, json::parse(R"({"free":[1]})"));
}

TEST(FieldReaderTest, NamesTheWholePathAndWhatWasExpected) {
  EXPECT_EQ(ErrorOf(R"({"sizes":[32,0]})"), "spec.sizes[1]: must be between 1 and 4096, got 0");
  EXPECT_EQ(ErrorOf(R"({"sizes":[]})"), "spec.sizes: must hold between 1 and 4 items, got 0");
  EXPECT_EQ(ErrorOf(R"({"points":[{"x":1},{}]})"), "spec.points[1].x: is required");
  EXPECT_EQ(ErrorOf(R"({"centre":{"x":1,"weight":0}})"),
            "spec.centre.weight: must be more than 0, got 0");
  EXPECT_EQ(ErrorOf(R"({"opacity":1.5})"),
            "spec.opacity: must be at least 0 and less than 1.5, got 1.5");
  EXPECT_EQ(ErrorOf(R"({"colour":"green"})"),
            "spec.colour: must be one of red, blue, got \"green\"");
  EXPECT_EQ(ErrorOf(R"({"title":""})"), "spec.title: must not be empty");
  EXPECT_EQ(ErrorOf(R"({"centre":7})"), "spec.centre: must be an object, got 7");
  EXPECT_EQ(ErrorOf("[]"), "spec: must be an object, got []");
}

TEST(FieldReaderTest, RefusesTheWrongType) {
  EXPECT_EQ(ErrorOf(R"({"filled":"yes"})"), "spec.filled: must be true or false, got \"yes\"");
  EXPECT_EQ(ErrorOf(R"({"filled":1})"), "spec.filled: must be true or false, got 1");
  EXPECT_EQ(ErrorOf(R"({"title":5})"), "spec.title: must be text, got 5");
  EXPECT_EQ(ErrorOf(R"({"opacity":"0.5"})"), "spec.opacity: must be a finite number, got \"0.5\"");
  EXPECT_EQ(ErrorOf(R"({"sizes":3})"), "spec.sizes: must be a list, got 3");
  EXPECT_EQ(ErrorOf(R"({"seed":true})"), "spec.seed: must be a whole number, got true");
  EXPECT_EQ(ErrorOf(R"({"seed":1.5})"), "spec.seed: must be a whole number, got 1.5");
}

TEST(FieldReaderTest, ChecksIntegersAgainstTheirOwnWidth) {
  EXPECT_EQ(ErrorOf(R"({"small":256})"), "spec.small: must be between 0 and 255, got 256");
  EXPECT_EQ(ErrorOf(R"({"small":-1})"), "spec.small: must be between 0 and 255, got -1");
  EXPECT_EQ(ErrorOf(R"({"seed":-1})"),
            "spec.seed: must be between 0 and 18446744073709551615, got -1");
  EXPECT_EQ(ErrorOf(R"({"seed":"-1"})"),
            "spec.seed: must be between 0 and 18446744073709551615, got \"-1\"");
  EXPECT_EQ(ErrorOf(R"({"seed":1e300})"), "spec.seed: must be a whole number, got 1e+300");
  EXPECT_EQ(ErrorOf(R"({"seed":"99999999999999999999"})"),
            "spec.seed: must be a whole number, got \"99999999999999999999\"");
  Drawing drawing;
  ASSERT_TRUE(ReadFields(json::parse(R"({"seed":"12","small":2e2})"), "spec", drawing).ok());
  EXPECT_EQ(drawing.seed, 12u);
  EXPECT_EQ(drawing.small, 200);
}

TEST(FieldReaderTest, ReadsTheExtremesOfInt64) {
  struct Extremes {
    int64_t low = 0, high = 0;
    void Describe(FieldReader& v) {
      v.Int("low", low);
      v.Int("high", high);
    }
  } value;
  ASSERT_TRUE(ReadFields(json::parse(R"({"low":-9223372036854775808,"high":9223372036854775807})"),
                         "", value)
                  .ok());
  EXPECT_EQ(value.low, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(value.high, std::numeric_limits<int64_t>::max());
  EXPECT_FALSE(ReadFields(json::parse(R"({"high":9223372036854775808})"), "", value).ok());
}

TEST(FieldReaderTest, RefusesNumbersThatAreNotFinite) {
  json object;
  object["opacity"] = std::nan("");
  Drawing drawing;
  EXPECT_THAT(std::string(ReadFields(object, "spec", drawing).message()),
              HasSubstr("spec.opacity: must be a finite number"));
}

TEST(FieldReaderTest, RefusesUnknownKeysAndGuessesWhatWasMeant) {
  EXPECT_EQ(ErrorOf(R"({"colr":"red"})"), "spec.colr: is not a known field; did you mean colour?");
  EXPECT_EQ(ErrorOf(R"({"centre":{"x":1,"zzz":2}})"),
            "spec.centre.zzz: is not a known field; known are x, weight");
  EXPECT_LT(ErrorOf("{\"" + std::string(1 << 20, 'a') + "\":1}").size(), 400u);
}

TEST(FieldReaderTest, ReportsAllErrorsAtOnce) {
  Drawing drawing;
  const absl::Status status =
      ReadFields(json::parse(R"({"opacity":-1,"sizes":[0],"nope":1})"), "spec", drawing);
  EXPECT_EQ(FieldOf(status), "spec.opacity");
  EXPECT_THAT(std::string(status.message()), HasSubstr("; spec.sizes[0]: must be between"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("; spec.nope: is not a known field"));
}

TEST(FieldWriterTest, WritesWhatTheReaderReadsBack) {
  Drawing drawing;
  drawing.title = "t";
  drawing.colour = Colour::kBlue;
  drawing.seed = 18446744073709551615u;
  drawing.corner = Point{.x = 4, .weight = 0.25};
  drawing.points = {Point{.x = 1}, Point{.x = 2}};
  drawing.extra = json::parse("[1,2]");
  const std::string text = WriteFields(drawing).dump();
  EXPECT_TRUE(text.starts_with(R"({"title":"t","colour":"blue","filled":false)")) << text;
  Drawing again;
  const absl::Status status = ReadFields(json::parse(text), "spec", again);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(WriteFields(again).dump(), text);
}

// A family of two kinds, as architectures or losses are.
class Animal {
 public:
  virtual ~Animal() = default;
  virtual int Legs() const = 0;
};
struct Spider final : Animal {
  int64_t lost = 0;
  int Legs() const override { return 8 - static_cast<int>(lost); }
  template <class V>
  void Describe(V& v) {
    v.Int("lost", lost, {.min = 0, .max = 8});
  }
  absl::Status Check(const std::string& path) const {
    return lost == 7 ? InvalidField(JoinPath(path, "lost"), "one leg is no life")
                     : absl::OkStatus();
  }
};
struct Bird final : Animal {
  int Legs() const override { return 2; }
  template <class V>
  void Describe(V&) {}
};
constexpr Kind<Animal> kSpider = MakeKind<Spider, Animal>("spider");
constexpr Kind<Animal> kBird = MakeKind<Bird, Animal>("bird");
constexpr const Kind<Animal>* kAnimals[] = {&kSpider, &kBird};

std::string AnimalError(const std::string& text) {
  return std::string(ParseKind<Animal>(kAnimals, json::parse(text), "pet").status().message());
}

TEST(KindsTest, ChoosesTheKindByItsType) {
  auto animal = ParseKind<Animal>(kAnimals, json::parse(R"({"type":"spider","lost":3})"), "pet");
  ASSERT_TRUE(animal.ok()) << animal.status();
  EXPECT_EQ((*animal)->Legs(), 5);
}

TEST(KindsTest, NamesWhatIsWrong) {
  EXPECT_EQ(AnimalError("{}"), "pet.type: is required; must be one of spider, bird");
  EXPECT_EQ(AnimalError(R"({"type":"cat"})"), "pet.type: must be one of spider, bird, got \"cat\"");
  EXPECT_EQ(AnimalError(R"({"type":3})"), "pet.type: must be one of spider, bird, got 3");
  EXPECT_EQ(AnimalError(R"("spider")"), "pet: must be an object with a type");
  EXPECT_EQ(AnimalError(R"({"type":"spider","lost":9})"),
            "pet.lost: must be between 0 and 8, got 9");
  EXPECT_EQ(AnimalError(R"({"type":"spider","lost":7})"), "pet.lost: one leg is no life");
  EXPECT_THAT(AnimalError(R"({"type":"bird","lost":1})"),
              HasSubstr("pet.lost: is not a known field"));
}

TEST(KindsTest, PrintsWhatItParses) {
  Spider spider;
  spider.lost = 2;
  EXPECT_EQ(PrintKind("spider", spider).dump(), R"({"type":"spider","lost":2})");
}

}  // namespace
}  // namespace slipway
