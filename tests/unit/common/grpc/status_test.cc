#include "common/grpc/status.h"

#include <string>

#include "absl/strings/cord.h"
#include "grpcpp/support/status.h"
#include "gtest/gtest.h"

namespace slipway {
namespace {

absl::Status ThereAndBack(const absl::Status& status) {
  return FromGrpcStatus(ToGrpcStatus(status));
}

TEST(GrpcStatusTest, KeepsEveryCodeAndMessage) {
  EXPECT_TRUE(ThereAndBack(absl::OkStatus()).ok());
  for (int code = 1; code <= 16; ++code) {
    const absl::Status status(static_cast<absl::StatusCode>(code), "it was so: é");
    EXPECT_EQ(ThereAndBack(status), status) << code;
    EXPECT_EQ(static_cast<int>(ToGrpcStatus(status).error_code()), code);
  }
}

TEST(GrpcStatusTest, KeepsWhatAnErrorSaysBesides) {
  const absl::Status field = InvalidField("spec.epochs", "must be > 0, got -1");
  EXPECT_EQ(FieldOf(ThereAndBack(field)), "spec.epochs");
  EXPECT_EQ(ThereAndBack(field), field);
  EXPECT_TRUE(IsStorageFull(ThereAndBack(StorageFull("/data"))));
  EXPECT_EQ(ToHttpCode(ThereAndBack(StorageFull("/data"))), 507);
  EXPECT_EQ(ToHttpCode(ThereAndBack(TooLarge("the body", 10))), 413);
}

TEST(GrpcStatusTest, KeepsPayloadsOfAnyBytes) {
  absl::Status status = absl::AbortedError("x");
  status.SetPayload("slipway/any", absl::Cord(std::string("\0\xff\x80", 3)));
  EXPECT_EQ(ThereAndBack(status), status);
}

TEST(GrpcStatusTest, CutsWhatWouldNotFitIntoTheTrailers) {
  const grpc::Status sent = ToGrpcStatus(absl::NotFoundError(std::string(100'000, 'x')));
  EXPECT_EQ(sent.error_message().size(), 2048u);
  EXPECT_TRUE(sent.error_message().ends_with("x..."));

  absl::Status status = absl::AbortedError("x");
  status.SetPayload("slipway/huge", absl::Cord(std::string(3000, 'x')));
  status.SetPayload("slipway/small", absl::Cord("y"));
  const absl::Status received = ThereAndBack(status);
  EXPECT_FALSE(received.GetPayload("slipway/huge").has_value());
  EXPECT_EQ(received.GetPayload("slipway/small"), absl::Cord("y"));
}

TEST(GrpcStatusTest, NeverCutsACharacterInTwo) {
  std::string message;
  while (message.size() < 3000) message += "\xe2\x82\xac";  // three bytes each
  for (int shift = 0; shift < 3; ++shift) {
    const std::string sent =
        ToGrpcStatus(absl::NotFoundError(std::string(shift, 'a') + message)).error_message();
    EXPECT_LE(sent.size(), 2048u);
    EXPECT_EQ((sent.size() - 3 - shift) % 3, 0u) << shift;
  }
}

TEST(GrpcStatusTest, PassesOverDetailsThatAreNone) {
  const grpc::Status odd(grpc::StatusCode::NOT_FOUND, "gone", "\xff\xff not a message");
  EXPECT_EQ(FromGrpcStatus(odd), absl::NotFoundError("gone"));
}

}  // namespace
}  // namespace slipway
