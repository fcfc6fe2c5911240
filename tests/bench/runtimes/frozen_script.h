#ifndef SLIPWAY_TESTS_BENCH_RUNTIMES_FROZEN_SCRIPT_H_
#define SLIPWAY_TESTS_BENCH_RUNTIMES_FROZEN_SCRIPT_H_

#include <memory>
#include <string>
#include <vector>

#include "common/tensor/tensor.h"

namespace slipway {

/// A TorchScript module that is frozen and, where it is asked for, optimised for inference, with
/// nothing around it. One thread.
class FrozenScript {
 public:
  FrozenScript(const std::string& bytes, bool optimized);
  ~FrozenScript();

  /// Runs it `count` times; what the last one gave.
  std::vector<float> Run(const Tensor& input, int count);

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_RUNTIMES_FROZEN_SCRIPT_H_
