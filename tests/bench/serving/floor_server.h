#ifndef SLIPWAY_TESTS_BENCH_SERVING_FLOOR_SERVER_H_
#define SLIPWAY_TESTS_BENCH_SERVING_FLOOR_SERVER_H_

#include <string>

namespace slipway {

/// A server that does nothing: ServerLive answers an empty message at once, without looking at
/// who asks, behind the same GrpcServer and callback API as the worker's. ModelInfer answers,
/// likewise, always the same. Serves until SIGTERM.
int RunEmptyServer(const std::string& socket);

/// As the empty server, but for ModelInfer: calls are answered one after the other, in the order in
/// which they came, each after another `micros`, which cost no CPU. So it has a capacity.
int RunSlowServer(const std::string& socket, int micros);

/// A server whose ModelReady(name = "mlp" or "cnn", version = a count) runs the bare forward so
/// often before it answers: so the forward's cost is measured on the same core in the same run.
int RunForwardServer(const std::string& socket);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_SERVING_FLOOR_SERVER_H_
