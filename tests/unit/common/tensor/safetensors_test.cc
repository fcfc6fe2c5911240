#include "common/tensor/safetensors.h"

#include <cstring>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "common/files/files.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// What the reference implementation (safetensors 0.8.0, save() with one tensor of each type)
// writes: header, then data.
constexpr char kReferenceHeader[] =
    R"({"__metadata__":{"k":"v"},"w":{"dtype":"U64","shape":[1],"data_offsets":[0,8]},)"
    R"("a":{"dtype":"I64","shape":[2,2],"data_offsets":[8,40]},)"
    R"("d":{"dtype":"F64","shape":[1],"data_offsets":[40,48]},)"
    R"("b":{"dtype":"F32","shape":[3],"data_offsets":[48,60]},)"
    R"("c":{"dtype":"F32","shape":[1],"data_offsets":[60,64]},)"
    R"("e":{"dtype":"F32","shape":[0,3],"data_offsets":[64,64]},)"
    R"("v":{"dtype":"U32","shape":[1],"data_offsets":[64,68]},)"
    R"("i":{"dtype":"I32","shape":[1],"data_offsets":[68,72]},)"
    R"("h":{"dtype":"F16","shape":[1],"data_offsets":[72,74]},)"
    R"("t":{"dtype":"U16","shape":[1],"data_offsets":[74,76]},)"
    R"("s":{"dtype":"I16","shape":[1],"data_offsets":[76,78]},)"
    R"("x":{"dtype":"I8","shape":[1],"data_offsets":[78,79]},)"
    R"("u":{"dtype":"U8","shape":[2],"data_offsets":[79,81]},)"
    R"("z":{"dtype":"BOOL","shape":[],"data_offsets":[81,82]}}     )";
constexpr unsigned char kReferenceData[] = {
    3,    0, 0, 0, 0,    0,    0, 0, 1, 0, 0,    0, 0,    0,    0, 0, 2, 0,    0, 0, 0,
    0,    0, 0, 3, 0,    0,    0, 0, 0, 0, 0,    4, 0,    0,    0, 0, 0, 0,    0, 0, 0,
    0,    0, 0, 0, 0x04, 0x40, 0, 0, 0, 0, 0,    0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0xc0,
    0x3f, 3, 0, 0, 0,    5,    0, 0, 0, 0, 0x3c, 3, 0,    3,    0, 3, 7, 8,    1};

std::string WithLength(std::string_view header, std::string_view data) {
  const uint64_t size = header.size();
  std::string file(reinterpret_cast<const char*>(&size), sizeof(size));
  return file.append(header).append(data);
}

std::string Reference() {
  return WithLength(
      kReferenceHeader,
      std::string_view(reinterpret_cast<const char*>(kReferenceData), sizeof(kReferenceData)));
}

absl::StatusOr<SafetensorsFile> Parse(std::string bytes) {
  return SafetensorsFile::Parse(Buffer::Own(std::move(bytes)), "model.safetensors");
}

absl::StatusOr<std::string> Serialize(const std::vector<Tensor>& tensors,
                                      const std::map<std::string, std::string>& metadata = {}) {
  ASSIGN_OR_RETURN(const std::vector<Buffer> pieces, LayOutSafetensors(tensors, metadata));
  std::string bytes;
  for (const Buffer& piece : pieces) bytes.append(piece.view());
  return bytes;
}

// The refusal's text, "" where the file is taken.
std::string Refusal(std::string_view header, std::string_view data) {
  return std::string(Parse(WithLength(header, data)).status().message());
}

Tensor Floats(std::string name, std::vector<float> values) {
  const std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * 4);
  return Tensor::Make(std::move(name), DataType::kFp32, {static_cast<int64_t>(values.size())},
                      Buffer::Own(bytes), "x")
      .value();
}

TEST(SafetensorsTest, ReadsWhatTheReferenceImplementationWrites) {
  const auto file = Parse(Reference());
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(file->tensors().size(), 14u);
  EXPECT_THAT(file->metadata(), ElementsAre(Pair("k", "v")));
  const Tensor* b = file->Find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype(), DataType::kFp32);
  EXPECT_EQ(b->shape(), Shape{3});
  float values[3];
  std::memcpy(values, b->data().data(), sizeof(values));
  EXPECT_THAT(values, ElementsAre(0.f, 1.f, 2.f));
  EXPECT_EQ(file->Find("z")->shape(), Shape());
  EXPECT_EQ(file->Find("e")->data().size(), 0u);
  EXPECT_EQ(file->Find("nothing"), nullptr);
}

TEST(SafetensorsTest, WritesTheBytesThatTheReferenceImplementationWrites) {
  const auto file = Parse(Reference());
  ASSERT_TRUE(file.ok());
  const auto bytes = Serialize(file->tensors(), file->metadata());
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(*bytes, Reference());
}

TEST(SafetensorsTest, RefusesEveryProperPrefixAndEveryExtension) {
  const std::string whole = Reference();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(Parse(whole.substr(0, size)).ok()) << "cut to " << size << " bytes";
  }
  EXPECT_FALSE(Parse(whole + '\0').ok());
}

TEST(SafetensorsTest, NoFlippedHeaderByteCrashesOrReadsOutsideTheData) {
  const std::string whole = Reference();
  for (size_t at = 0; at < whole.size() - sizeof(kReferenceData); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = whole;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      const auto file = Parse(bad);
      if (!file.ok()) continue;
      for (const Tensor& tensor : file->tensors()) {
        EXPECT_EQ(tensor.shape().ByteCount(tensor.dtype(), "x").value(),
                  static_cast<int64_t>(tensor.data().size()));
      }
    }
  }
}

TEST(SafetensorsTest, RefusesHeaderLengthsBeyondTheFileOrTheLimit) {
  const auto with_length = [](uint64_t length) {
    std::string file = WithLength("{}", "");
    std::memcpy(file.data(), &length, sizeof(length));
    return std::string(Parse(file).status().message());
  };
  EXPECT_EQ(with_length(2), "");
  EXPECT_EQ(
      with_length(3),
      "model.safetensors is not a safetensors file: its header of 3 bytes passes the file's end");
  EXPECT_THAT(with_length(100'000'001), HasSubstr("passes the limit of 100000000"));
  EXPECT_THAT(with_length(std::numeric_limits<uint64_t>::max()), HasSubstr("passes the limit"));
  EXPECT_THAT(with_length(std::numeric_limits<uint64_t>::max() - 7), HasSubstr("passes the limit"));
}

TEST(SafetensorsTest, RefusesGapsOverlapsAndRests) {
  const auto two = [](std::string_view first, std::string_view second) {
    return Refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + std::string(first) +
                       R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + std::string(second) +
                       "}}",
                   "12345678");
  };
  EXPECT_EQ(two("[0,4]", "[4,8]"), "");
  EXPECT_EQ(two("[4,8]", "[0,4]"), "");
  EXPECT_THAT(two("[0,4]", "[5,9]"), HasSubstr("pass its 8 bytes of data"));
  EXPECT_THAT(two("[0,4]", "[0,4]"), HasSubstr("tensor b: data_offsets begin at 0"));
  EXPECT_THAT(two("[0,4]", "[2,6]"), HasSubstr("the tensors before it end at 4"));
  EXPECT_THAT(two("[1,5]", "[5,9]"), HasSubstr("data_offsets"));
  EXPECT_THAT(two("[4,0]", "[4,8]"), HasSubstr("data_offsets [4, 0]"));
  EXPECT_THAT(two("[0,4]", "[4,18446744073709551615]"), HasSubstr("pass its 8 bytes"));
  EXPECT_THAT(two("[0,4]", "[18446744073709551612,18446744073709551615]"), HasSubstr("pass its"));
  EXPECT_THAT(Refusal(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "12345"),
              HasSubstr("1 bytes follow its last tensor"));
  EXPECT_THAT(Refusal("{}", "x"), HasSubstr("1 bytes follow"));
}

TEST(SafetensorsTest, RefusesShapesThatDoNotFitTheOffsets) {
  const auto shape = [](std::string_view text) {
    return Refusal(
        R"({"a":{"dtype":"F32","shape":)" + std::string(text) + R"(,"data_offsets":[0,4]}})",
        "1234");
  };
  EXPECT_EQ(shape("[1]"), "");
  EXPECT_EQ(shape("[]"), "");
  EXPECT_THAT(shape("[2]"), HasSubstr("tensor a: FP32 of shape [2] takes 8 bytes, got 4"));
  EXPECT_THAT(shape("[4611686018427387905]"), HasSubstr("too many bytes"));
  EXPECT_THAT(shape("[4294967296,4294967296]"), HasSubstr("too many elements"));
  EXPECT_THAT(shape("[9223372036854775808]"), HasSubstr("more than 63 bits"));
  EXPECT_THAT(shape("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"), HasSubstr("too many dimensions"));
  EXPECT_THAT(shape("[-1]"), HasSubstr("negative number"));
  EXPECT_THAT(shape("[1.0]"), HasSubstr("fraction"));
}

TEST(SafetensorsTest, RefusesDuplicateNamesAndKeys) {
  constexpr char kTwice[] =
      R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})";
  EXPECT_THAT(Refusal(kTwice, "1234"), HasSubstr("\"a\" is given twice"));
  EXPECT_THAT(
      Refusal(R"({"a":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "1234"),
      HasSubstr("gives dtype twice"));
  EXPECT_THAT(Refusal(R"({"__metadata__":{"k":"1","k":"2"}})", ""), HasSubstr("gives a key twice"));
  EXPECT_THAT(Refusal(R"({"__metadata__":{},"__metadata__":{}})", ""), HasSubstr("is given twice"));
}

TEST(SafetensorsTest, RefusesMalformedHeaders) {
  const struct {
    std::string header;
    std::string expected;
  } cases[] = {
      {"", "no JSON object"},
      {"[]", "no JSON object"},
      {" {}", "no JSON object"},
      {"null", "no JSON object"},
      {std::string("{}\0{}", 5), "no JSON object"},
      {"{", "not JSON"},
      {"{}}", "not JSON"},
      {R"({"a":1})", "a number where none belongs"},
      {R"({"a":null})", "holds a null"},
      {R"({"a":true})", "holds a boolean"},
      {R"({"a":[]})", "a list where none belongs"},
      {R"({"a":"x"})", "text where none belongs"},
      {R"({"a":{}})", "lacks one of"},
      {R"({"a":{"dtype":"U8","shape":[0]}})", "lacks one of"},
      {R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})", "fewer than two data_offsets"},
      {R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}})", "more than two data_offsets"},
      {R"({"a":{"dtype":"U8","shape":[[0]],"data_offsets":[0,0]}})", "a list where none belongs"},
      {R"({"a":{"dtype":"U8","shape":0,"data_offsets":[0,0]}})", "a number where none belongs"},
      {R"({"a":{"dtype":8,"shape":[0],"data_offsets":[0,0]}})", "a number where none belongs"},
      {R"({"a":{"dtype":"F7","shape":[0],"data_offsets":[0,0]}})", "unknown dtype \"F7\""},
      {R"({"a":{"dtype":"FP32","shape":[0],"data_offsets":[0,0]}})", "unknown dtype"},
      {R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"extra":1}})",
       "unknown key \"extra\""},
      {R"({"a":{"dtype":{"x":1},"shape":[0],"data_offsets":[0,0]}})",
       "an object where none belongs"},
      {R"({"__metadata__":{"k":1}})", "a number where none belongs"},
      {R"({"__metadata__":{"k":{}}})", "an object where none belongs"},
      {R"({"__metadata__":{"k":["x"]}})", "a list where none belongs"},
      {"{\"\xff\":{}}", "not JSON"},
      {"{\"a\":" + std::string(100'000, '[') + "}", "a list where none belongs"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(Refusal(c.header, ""), HasSubstr(c.expected)) << c.header.substr(0, 100);
  }
}

TEST(SafetensorsTest, OpensFilesMappedAndRead) {
  const TempDir folder;
  const std::string path = folder / "model.safetensors";
  const std::vector<Tensor> tensors = {Floats("w", {1, 2, 3}), Floats("b", {4})};
  ASSERT_TRUE(WriteSafetensors(path, tensors, {{"step", "7"}}).ok());
  for (const auto access : {SafetensorsFile::Access::kMap, SafetensorsFile::Access::kRead}) {
    const auto file = SafetensorsFile::Open(path, access);
    ASSERT_TRUE(file.ok()) << file.status();
    EXPECT_EQ(file->metadata().at("step"), "7");
    EXPECT_EQ(file->Find("w")->data().view(), tensors[0].data().view());
  }
}

TEST(SafetensorsTest, AMappedTensorOutlivesTheFile) {
  const TempDir folder;
  const std::string path = folder / "model.safetensors";
  const std::vector<Tensor> tensors = {Floats("w", {1, 2, 3})};
  ASSERT_TRUE(WriteSafetensors(path, tensors).ok());
  Tensor kept;
  {
    const auto file = SafetensorsFile::Open(path, SafetensorsFile::Access::kMap);
    ASSERT_TRUE(file.ok());
    kept = *file->Find("w");
  }
  std::filesystem::remove(path);
  EXPECT_EQ(kept.data().view(), tensors[0].data().view());
}

TEST(SafetensorsTest, RefusesEmptyAbsentAndDirectoryPaths) {
  const TempDir folder;
  ASSERT_TRUE(WriteFileAtomically(folder / "empty", "").ok());
  for (const auto access : {SafetensorsFile::Access::kMap, SafetensorsFile::Access::kRead}) {
    EXPECT_EQ(SafetensorsFile::Open(folder / "empty", access).status().code(),
              absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(SafetensorsFile::Open(folder / "absent", access).status().code(),
              absl::StatusCode::kNotFound);
    EXPECT_EQ(SafetensorsFile::Open(folder.path().string(), access).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
}

TEST(SafetensorsTest, TheWriterRefusesWhatTheFormatCannotHold) {
  const auto text = Tensor::Make("t", DataType::kBytes, {0}, Buffer(), "x").value();
  EXPECT_THAT(std::string(Serialize({text}).status().message()),
              HasSubstr("safetensors has no BYTES"));
  const std::vector<Tensor> twice = {Floats("w", {1}), Floats("w", {2})};
  EXPECT_THAT(std::string(Serialize(twice).status().message()),
              HasSubstr("two tensors are called w"));
  EXPECT_FALSE(Serialize({Floats("\xff", {1})}).ok());
  EXPECT_FALSE(Serialize({Floats("__metadata__", {1})}).ok());
}

TEST(SafetensorsTest, TheOrderOfTheTensorsDoesNotChangeTheFile) {
  const std::vector<Tensor> one = {Floats("a", {1}), Floats("b", {2})};
  const std::vector<Tensor> other = {one[1], one[0]};
  EXPECT_EQ(Serialize(one).value(), Serialize(other).value());
}

}  // namespace
}  // namespace slipway
