#include "common/http/multipart.h"

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway::http {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using namespace std::string_literals;  // NOLINT

constexpr char kType[] = "multipart/form-data; boundary=xyz";

// The parts of a form that comes in pieces of `size` bytes, as "name" or "name (filename)".
absl::StatusOr<std::vector<std::pair<std::string, std::string>>> Read(const std::string& form,
                                                                      size_t size) {
  std::vector<std::pair<std::string, std::string>> parts;
  ASSIGN_OR_RETURN(MultipartReader reader, MultipartReader::Create(kType));
  for (size_t at = 0;;) {
    ASSIGN_OR_RETURN(MultipartReader::Event event, reader.Next());
    if (auto* part = std::get_if<MultipartReader::Part>(&event)) {
      parts.emplace_back(part->is_file ? part->name + " (" + part->filename + ")" : part->name, "");
    } else if (auto* data = std::get_if<MultipartReader::Data>(&event)) {
      EXPECT_NE(data->bytes, "");
      parts.back().second += data->bytes;
    } else if (std::holds_alternative<MultipartReader::End>(event)) {
      return parts;
    } else {
      if (at >= form.size()) return absl::OutOfRangeError("it ends too early");
      reader.Feed(std::string_view(form).substr(at, size));
      at += size;
    }
  }
}

TEST(MultipartReaderTest, ReadsAFormWhateverThePiecesItComesIn) {
  const std::string content = "a\r\n--xy\r\n\r\n--x\0z"s;
  const std::string form =
      "what comes before\r\n--xyz\r\nContent-Disposition: form-data; "
      "name=\"purpose\"\r\n\r\nbatch\r\n"
      "--xyz\r\ncontent-disposition:form-data;filename=\"a \\\"b\\\".txt\"; name=file\r\n"
      "Content-Type: text/plain\r\n\r\n" +
      content +
      "\r\n--xyz\r\nContent-Disposition: form-data; name=empty; "
      "filename=\"\"\r\n\r\n\r\n--xyz--\r\n"
      "and after";
  for (size_t size = 1; size <= form.size(); ++size) {
    const auto parts = Read(form, size);
    ASSERT_TRUE(parts.ok()) << size << parts.status();
    EXPECT_THAT(*parts, ElementsAre(Pair("purpose", "batch"), Pair("file (a \"b\".txt)", content),
                                    Pair("empty ()", "")))
        << size;
  }
}

TEST(MultipartReaderTest, HandsContentOnAsItComes) {
  auto reader = MultipartReader::Create(kType).value();
  reader.Feed("--xyz\r\nContent-Disposition: form-data; name=f; filename=f\r\n\r\n");
  EXPECT_TRUE(std::holds_alternative<MultipartReader::Part>(*reader.Next()));
  size_t taken = 0;
  for (int i = 0; i < 100; ++i) {
    reader.Feed(std::string(1000, 'x'));
    const auto data = reader.Next();
    ASSERT_TRUE(std::holds_alternative<MultipartReader::Data>(*data));
    taken += std::get<MultipartReader::Data>(*data).bytes.size();
    EXPECT_GE(taken + 7, 1000u * (i + 1)) << "more than a boundary was kept back";
    EXPECT_TRUE(std::holds_alternative<MultipartReader::More>(*reader.Next()));
  }
}

TEST(MultipartReaderTest, RefusesWhatIsNoForm) {
  const std::string head = "--xyz\r\nContent-Disposition: form-data; name=a\r\n\r\n";
  std::string many;
  for (int i = 0; i <= MultipartReader::kMaxParts; ++i) many += head + "x\r\n";
  const std::pair<std::string, const char*> cases[] = {
      {"--xyz!\r\n", "does not end its line"},
      {"--xyz\r\nname\r\n\r\n", "no colon"},
      {"--xyz\r\n\r\nx", "no Content-Disposition"},
      {"--xyz\r\nContent-Disposition: attachment; name=a\r\n\r\n", "no Content-Disposition"},
      {"--xyz\r\nContent-Disposition: form-data\r\n\r\n", "no name"},
      {"--xyz\r\nContent-Disposition: form-data; name=\"a\r\n\r\n", "no name"},
      {head.substr(0, head.size() - 2) + "Content-Disposition: form-data; name=b\r\n\r\n", "two"},
      {"--xyz\r\n" + std::string(MultipartReader::kMaxPartHeaderBytes + 1, 'h'), "too long"},
      {many, "too many parts"},
  };
  for (const auto& [form, why] : cases) {
    for (const size_t size : {size_t{1}, form.size()}) {
      const auto parts = Read(form, size);
      EXPECT_TRUE(absl::IsInvalidArgument(parts.status())) << form.substr(0, 100);
      EXPECT_THAT(std::string(parts.status().message()), HasSubstr(why));
    }
  }
}

TEST(MultipartReaderTest, NeedsABoundary) {
  for (const char* type : {"", "text/plain; boundary=x", "multipart/form-data",
                           "multipart/form-data; boundary=", "multipart/form-data; boundary=\"x",
                           "multipart/mixed; boundary=x"}) {
    EXPECT_FALSE(MultipartReader::Create(type).ok()) << type;
  }
  EXPECT_FALSE(
      MultipartReader::Create("multipart/form-data; boundary=" + std::string(71, 'b')).ok());
  for (const char* type :
       {"Multipart/Form-Data;boundary=x", "multipart/form-data; boundary=\"x y\"",
        "multipart/form-data; charset=utf-8; boundary=x"}) {
    EXPECT_TRUE(MultipartReader::Create(type).ok()) << type;
  }
}

}  // namespace
}  // namespace slipway::http
