#include "services/cli/api.h"

#include "gtest/gtest.h"

namespace slipway::cli {
namespace {

http::Response Answer(int status, std::string body) {
  http::Response response{.status = status, .headers = {}, .body = std::move(body)};
  response.headers.Add("x-request-id", "r1");
  return response;
}

TEST(ApiTest, SaysWhatThePlatformSaidAndTheRequestId) {
  const absl::Status status =
      ToStatus(Answer(404, R"({"error":{"code":"NOT_FOUND","message":"models/m was not found"}})"));
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_EQ(std::string(status.message()), "models/m was not found (request r1)");
}

TEST(ApiTest, ReadsTheOpenInferenceProtocolsErrors) {
  const absl::Status status = ToStatus(Answer(400, R"({"error":"input x is missing"})"));
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(std::string(status.message()), "input x is missing (request r1)");
}

TEST(ApiTest, NamesTheHttpCodeWhereTheBodySaysNothing) {
  EXPECT_EQ(std::string(ToStatus(Answer(503, "<html>")).message()),
            "HTTP 503 Service Unavailable (request r1)");
}

TEST(ApiTest, MapsEachHttpCodeToTheStatusThatDecidesTheExitCode) {
  EXPECT_TRUE(ToStatus(Answer(204, "")).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(ToStatus(Answer(401, ""))));
  EXPECT_TRUE(absl::IsPermissionDenied(ToStatus(Answer(403, ""))));
  EXPECT_TRUE(absl::IsAlreadyExists(ToStatus(Answer(409, ""))));
  EXPECT_TRUE(absl::IsInvalidArgument(ToStatus(Answer(413, ""))));
  EXPECT_TRUE(absl::IsResourceExhausted(ToStatus(Answer(507, ""))));
  EXPECT_TRUE(absl::IsUnavailable(ToStatus(Answer(503, ""))));
  EXPECT_TRUE(absl::IsInternal(ToStatus(Answer(500, ""))));
}

TEST(ApiTest, EncodesQueries) {
  EXPECT_EQ(Target("/x", {{"a b", "1&2"}, {"c", ""}}), "/x?a%20b=1%262&c=");
}

}  // namespace
}  // namespace slipway::cli
