#include "common/http/grpc/protocol.h"

#include <string>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "slipway/status/v1/status.pb.h"

namespace slipway::http::grpc {
namespace {

RequestHead Head(const std::string& type = "application/grpc") {
  RequestHead head;
  head.method = "POST";
  head.target = "/inference.GRPCInferenceService/ModelInfer";
  head.headers.Add("content-type", type);
  return head;
}

TEST(IsGrpcTest, GoesByTheContentType) {
  for (const char* type : {"application/grpc", "application/grpc+proto", "Application/GRPC",
                           "application/grpc;charset=utf-8", "application/grpc+json"}) {
    EXPECT_TRUE(IsGrpc(Head(type))) << type;
  }
  for (const char* type : {"", "application/grpc-web", "application/grpcx", "application/json"}) {
    EXPECT_FALSE(IsGrpc(Head(type))) << type;
  }
  EXPECT_FALSE(IsGrpc({}));
}

TEST(ParseCallTest, ReadsServiceMethodTimeoutAndCoding) {
  RequestHead head = Head();
  head.headers.Add("grpc-timeout", "250m");
  head.headers.Add("grpc-encoding", "gzip");
  const auto call = ParseCall(head);
  ASSERT_TRUE(call.ok()) << call.status();
  EXPECT_EQ(call->service, "inference.GRPCInferenceService");
  EXPECT_EQ(call->method, "ModelInfer");
  EXPECT_EQ(call->timeout, absl::Milliseconds(250));
  EXPECT_EQ(call->coding, Coding::kGzip);
  EXPECT_EQ(ParseCall(Head())->timeout, absl::InfiniteDuration());
  EXPECT_TRUE(ParseCall(Head("application/grpc+proto")).ok());
}

TEST(ParseCallTest, RefusesWhatIsNoCall) {
  for (const char* target : {"/", "/x", "//", "/x/", "//y", "/a/b/c", "/a/b?c", "/a/b/"}) {
    RequestHead head = Head();
    head.target = target;
    EXPECT_TRUE(absl::IsUnimplemented(ParseCall(head).status())) << target;
  }
  RequestHead head = Head();
  head.method = "GET";
  EXPECT_TRUE(absl::IsInvalidArgument(ParseCall(head).status()));
  EXPECT_TRUE(absl::IsUnimplemented(ParseCall(Head("application/grpc+json")).status()));
  head = Head();
  head.headers.Add("grpc-encoding", "snappy");
  EXPECT_TRUE(absl::IsUnimplemented(ParseCall(head).status()));
}

TEST(ParseTimeoutTest, ReadsEachUnitAndNothingElse) {
  EXPECT_EQ(*ParseTimeout("2H"), absl::Hours(2));
  EXPECT_EQ(*ParseTimeout("3M"), absl::Minutes(3));
  EXPECT_EQ(*ParseTimeout("4S"), absl::Seconds(4));
  EXPECT_EQ(*ParseTimeout("5m"), absl::Milliseconds(5));
  EXPECT_EQ(*ParseTimeout("6u"), absl::Microseconds(6));
  EXPECT_EQ(*ParseTimeout("7n"), absl::Nanoseconds(7));
  EXPECT_EQ(*ParseTimeout("99999999H"), absl::Hours(99'999'999));
  for (const char* text : {"", "H", "1", "-1S", "+1S", " 1S", "1 S", "1s", "1.5S", "123456789S"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseTimeout(text).status())) << text;
  }
}

status::v1::StatusDetails DetailsIn(const Headers& trailers) {
  std::string bytes;
  EXPECT_TRUE(absl::Base64Unescape(std::string(trailers.Get("grpc-status-details-bin")), &bytes));
  status::v1::StatusDetails details;
  EXPECT_TRUE(details.ParseFromString(bytes));
  return details;
}

TEST(TrailersTest, SaySuccessInOneField) {
  const Headers trailers = Trailers(absl::OkStatus(), "id");
  EXPECT_EQ(trailers.size(), 1u);
  EXPECT_EQ(trailers.Get("grpc-status"), "0");
}

TEST(TrailersTest, EncodeTheMessage) {
  const Headers trailers = Trailers(absl::NotFoundError("100% of \"caf\xc3\xa9\"\nis gone"), "id");
  EXPECT_EQ(trailers.Get("grpc-status"), "5");
  EXPECT_EQ(trailers.Get("grpc-message"), "100%25 of \"caf%C3%A9\"%0Ais gone");
}

TEST(TrailersTest, NameTheFieldAndTheRequest) {
  const auto details =
      DetailsIn(Trailers(InvalidField("inputs.x.shape", "must be [-1, 4]"), "0123"));
  EXPECT_EQ(details.code(), 3);
  EXPECT_EQ(details.message(), "inputs.x.shape: must be [-1, 4]");
  ASSERT_EQ(details.details_size(), 2);
  EXPECT_EQ(details.details(0).type_url(), "type.googleapis.com/google.rpc.BadRequest");
  status::v1::BadRequest bad;
  ASSERT_TRUE(bad.ParseFromString(details.details(0).value()));
  EXPECT_EQ(bad.field_violations(0).field(), "inputs.x.shape");
  EXPECT_EQ(details.details(1).type_url(), "type.googleapis.com/google.rpc.RequestInfo");
  status::v1::RequestInfo info;
  ASSERT_TRUE(info.ParseFromString(details.details(1).value()));
  EXPECT_EQ(info.request_id(), "0123");
}

TEST(TrailersTest, CutLongMessagesBetweenCharacters) {
  std::string text = "x";
  for (int i = 0; i < 5000; ++i) text += "\xc3\xa9";
  const Headers trailers = Trailers(absl::InvalidArgumentError(text), "");
  EXPECT_LE(DetailsIn(trailers).message().size(), 2048u);
  EXPECT_EQ(trailers.Get("grpc-message").substr(trailers.Get("grpc-message").size() - 6), "%C3%A9");
}

TEST(ErrorAnswerTest, IsAHeadAlone) {
  const Response response = ErrorAnswer(absl::UnavailableError("later"), "");
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.headers.Get("content-type"), "application/grpc");
  EXPECT_EQ(response.headers.Get("grpc-status"), "14");
  EXPECT_TRUE(response.body.empty());
  EXPECT_TRUE(response.trailers.empty());
}

}  // namespace
}  // namespace slipway::http::grpc
