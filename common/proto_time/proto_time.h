#ifndef SLIPWAY_COMMON_PROTO_TIME_PROTO_TIME_H_
#define SLIPWAY_COMMON_PROTO_TIME_PROTO_TIME_H_

#include "absl/time/time.h"
#include "google/protobuf/duration.pb.h"
#include "google/protobuf/timestamp.pb.h"

// Protobuf's times and Abseil's.
namespace slipway {

/// In microseconds, which is what databases keep. `time` lies between the years 1 and 9999.
google::protobuf::Timestamp ToTimestamp(absl::Time time);
absl::Time FromTimestamp(const google::protobuf::Timestamp& time);

absl::Duration ToDuration(const google::protobuf::Duration& duration);

}  // namespace slipway

#endif  // SLIPWAY_COMMON_PROTO_TIME_PROTO_TIME_H_
