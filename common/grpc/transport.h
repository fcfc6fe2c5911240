#ifndef SLIPWAY_COMMON_GRPC_TRANSPORT_H_
#define SLIPWAY_COMMON_GRPC_TRANSPORT_H_

// For the sources of this room only: what both ends of a connection agree on.
namespace slipway {

/// A token, a request id and what gRPC adds, with room to spare.
inline constexpr int kMaxMetadataBytes = 16 << 10;
/// A peer that says nothing for so long is asked whether it is there,
inline constexpr int kKeepaliveMilliseconds = 30'000;
/// and given up when it does not answer within this.
inline constexpr int kKeepaliveTimeoutMilliseconds = 10'000;
/// How often the files of TLS are looked at.
inline constexpr unsigned kTlsRefreshSeconds = 60;

/// Sends what gRPC and protobuf have to say to the log, and keeps gRPC ready to the program's end;
/// once per program is enough.
void PrepareLibraries();

}  // namespace slipway

#endif  // SLIPWAY_COMMON_GRPC_TRANSPORT_H_
