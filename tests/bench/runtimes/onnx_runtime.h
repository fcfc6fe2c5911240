#ifndef SLIPWAY_TESTS_BENCH_RUNTIMES_ONNX_RUNTIME_H_
#define SLIPWAY_TESTS_BENCH_RUNTIMES_ONNX_RUNTIME_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "common/tensor/shape.h"

namespace slipway {

/// Where what benchmarks fetch by themselves lies: bootstrap's own cache.
std::string PeerCache();

struct OnnxRuntimeRun {
  double cpu_us = 0;          ///< a call
  std::vector<float> answer;  ///< the first 10 numbers
};

/// The bare forward of an ONNX file on BenchInput() of this shape by ONNX Runtime on one thread, in
/// a process of its own on this thread's core. It comes from PyPI the first time. Nothing where it
/// cannot be had.
std::optional<OnnxRuntimeRun> RunOnnxRuntime(const std::string& path, const Shape& shape,
                                             absl::Duration time);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_RUNTIMES_ONNX_RUNTIME_H_
