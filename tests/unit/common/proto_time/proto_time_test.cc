#include "common/proto_time/proto_time.h"

#include "gtest/gtest.h"

namespace slipway {
namespace {

TEST(ProtoTimeTest, ATimeComesBackToTheMicrosecond) {
  for (const absl::Time time :
       {absl::UnixEpoch(), absl::FromUnixMicros(1'795'000'000'123'456), absl::FromUnixMicros(-1)}) {
    EXPECT_EQ(FromTimestamp(ToTimestamp(time)), time);
  }
  EXPECT_EQ(ToTimestamp(absl::FromUnixMicros(1'500'000)).seconds(), 1);
  EXPECT_EQ(ToTimestamp(absl::FromUnixMicros(1'500'000)).nanos(), 500'000'000);
}

TEST(ProtoTimeTest, ADurationHasSecondsAndNanoseconds) {
  google::protobuf::Duration duration;
  duration.set_seconds(-2);
  duration.set_nanos(-5);
  EXPECT_EQ(ToDuration(duration), -absl::Seconds(2) - absl::Nanoseconds(5));
}

}  // namespace
}  // namespace slipway
