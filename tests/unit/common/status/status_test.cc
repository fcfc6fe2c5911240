#include "common/status/status.h"

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/cord.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace slipway {
namespace {

using ::testing::HasSubstr;

TEST(InvalidFieldTest, NamesTheFieldFirstAndKeepsIt) {
  const absl::Status status = InvalidField("spec.epochs", "must be > 0, got -1");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "spec.epochs: must be > 0, got -1");
  EXPECT_EQ(FieldOf(status), "spec.epochs");
}

TEST(InvalidFieldTest, OtherStatusesNameNoField) {
  EXPECT_EQ(FieldOf(absl::OkStatus()), "");
  EXPECT_EQ(FieldOf(absl::InvalidArgumentError("spec.epochs: no")), "");
}

TEST(AnnotateTest, PutsItsTextFirstAndKeepsTheRest) {
  const absl::Status status = Annotate(InvalidField("name", "is empty"), "line 3");
  EXPECT_EQ(status.message(), "line 3: name: is empty");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(FieldOf(status), "name");
  EXPECT_TRUE(IsStorageFull(Annotate(StorageFull("/data"), "blob")));
  EXPECT_TRUE(Annotate(absl::OkStatus(), "line 3").ok());
}

TEST(StorageFullTest, NamesTheVolumeAndIsToldFromOtherExhaustion) {
  const absl::Status status = StorageFull("/data");
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/data"));
  EXPECT_TRUE(IsStorageFull(status));
  EXPECT_FALSE(IsStorageFull(absl::ResourceExhaustedError("too many")));
  EXPECT_FALSE(IsStorageFull(TooLarge("the body", 10)));
  EXPECT_FALSE(IsStorageFull(absl::OkStatus()));
}

TEST(FromErrnoTest, TellsAFullVolumeFromOtherFailures) {
  EXPECT_TRUE(IsStorageFull(FromErrno(ENOSPC, "write", "/data/x")));
  EXPECT_TRUE(IsStorageFull(FromErrno(EDQUOT, "write", "/data/x")));
  EXPECT_EQ(FromErrno(ENOENT, "open", "/x").code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(FromErrno(EEXIST, "open", "/x").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(FromErrno(EACCES, "open", "/x").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(FromErrno(EPERM, "open", "/x").code(), absl::StatusCode::kPermissionDenied);
  const absl::Status other = FromErrno(EIO, "read", "/x");
  EXPECT_EQ(other.code(), absl::StatusCode::kInternal);
  EXPECT_EQ(other.message(), "read /x: Input/output error");
}

TEST(ToHttpCodeTest, MapsEveryCode) {
  const std::pair<absl::StatusCode, int> expected[] = {
      {absl::StatusCode::kOk, 200},
      {absl::StatusCode::kCancelled, 499},
      {absl::StatusCode::kUnknown, 500},
      {absl::StatusCode::kInvalidArgument, 400},
      {absl::StatusCode::kDeadlineExceeded, 504},
      {absl::StatusCode::kNotFound, 404},
      {absl::StatusCode::kAlreadyExists, 409},
      {absl::StatusCode::kPermissionDenied, 403},
      {absl::StatusCode::kResourceExhausted, 429},
      {absl::StatusCode::kFailedPrecondition, 400},
      {absl::StatusCode::kAborted, 409},
      {absl::StatusCode::kOutOfRange, 400},
      {absl::StatusCode::kUnimplemented, 501},
      {absl::StatusCode::kInternal, 500},
      {absl::StatusCode::kUnavailable, 503},
      {absl::StatusCode::kDataLoss, 500},
      {absl::StatusCode::kUnauthenticated, 401},
  };
  for (const auto& [code, http] : expected) {
    EXPECT_EQ(ToHttpCode(absl::Status(code, "x")), http) << absl::StatusCodeToString(code);
  }
}

TEST(ToHttpCodeTest, TellsTheKindsOfExhaustionApart) {
  EXPECT_EQ(ToHttpCode(StorageFull("/data")), 507);
  EXPECT_EQ(ToHttpCode(TooLarge("the body", 10)), 413);
  EXPECT_EQ(ToHttpCode(absl::ResourceExhaustedError("quota")), 429);
  absl::Status odd = absl::InvalidArgumentError("x");
  odd.SetPayload("slipway/kind", absl::Cord("storage-full"));
  EXPECT_EQ(ToHttpCode(odd), 400) << "the code counts first";
}

absl::Status Fails(bool fail, int& reached) {
  RETURN_IF_ERROR(fail ? absl::AbortedError("early") : absl::OkStatus());
  ++reached;
  return absl::OkStatus();
}

TEST(MacrosTest, ReturnIfErrorReturnsTheErrorAndElseGoesOn) {
  int reached = 0;
  EXPECT_EQ(Fails(true, reached), absl::AbortedError("early"));
  EXPECT_EQ(reached, 0);
  EXPECT_TRUE(Fails(false, reached).ok());
  EXPECT_EQ(reached, 1);
}

absl::StatusOr<std::unique_ptr<int>> Make(int value) {
  if (value < 0) return absl::OutOfRangeError("negative");
  return std::make_unique<int>(value);
}
absl::StatusOr<int> Sum(int a, int b) {
  ASSIGN_OR_RETURN(const std::unique_ptr<int> first, Make(a));
  std::unique_ptr<int> second;
  ASSIGN_OR_RETURN(second, Make(b));
  return *first + *second;
}

TEST(MacrosTest, AssignOrReturnMovesTheValueOutOrReturnsTheError) {
  EXPECT_EQ(*Sum(1, 2), 3);
  EXPECT_EQ(Sum(-1, 2).status(), absl::OutOfRangeError("negative"));
  EXPECT_EQ(Sum(1, -2).status(), absl::OutOfRangeError("negative"));
}

}  // namespace
}  // namespace slipway
