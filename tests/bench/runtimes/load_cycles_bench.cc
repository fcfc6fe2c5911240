// Memory comes back: a model is loaded, run and dropped again and again, and the process may not
// grow by more than a tenth between the fifth time and the last one. Ends non-zero where it does.
//
//   load_cycles_bench [cycles, default 200] [runtime: openvino (default) or torch]

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include "common/files/files.h"
#include "services/inference/openvino/openvino_runtime.h"
#include "services/inference/signature.h"
#include "services/inference/torch/torch_runtime.h"
#include "tests/bench/serving/models.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

constexpr int kFirst = 5;
constexpr double kTarget = 1.1;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "load_cycles_bench: %s\n", what.c_str());
  std::exit(1);
}

template <class T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) Die(value.status().ToString());
  return *std::move(value);
}

// Resident bytes of this process.
double Resident() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::atof(line.c_str() + 6) * 1024;
  }
  Die("/proc/self/status has no VmRSS");
}

bool Cycle(worker::ModelRuntime& runtime, const worker::ModelSource& source, int cycles) {
  double first = 0;
  double last = 0;
  for (int i = 1; i <= cycles; ++i) {
    {
      const auto model = Must(runtime.Load(source));
      const auto inputs = Must(worker::ZeroInputs(model->signature()));
      for (int run = 0; run < 3; ++run) Must(model->Run(inputs, absl::InfiniteFuture()));
    }
    last = Resident();
    if (i == kFirst) first = last;
    if (i == kFirst || i % 50 == 0 || i == cycles) {
      std::printf("after %3d cycles: %.1f MB resident\n", i, last / 1e6);
      std::fflush(stdout);
    }
  }
  std::printf("%.2f times what it was after %d (target: at most %.1f)\n", last / first, kFirst,
              kTarget);
  return last <= first * kTarget;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  using namespace slipway;
  const int cycles = argc > 1 ? std::atoi(argv[1]) : 200;
  const std::string name = argc > 2 ? argv[2] : "openvino";
  const TempDir dir;
  const TestArtifact artifact = BenchCnn();
  if (!WriteFileAtomically(dir / "architecture.json", artifact.description).ok() ||
      !WriteFileAtomically(dir / "model.safetensors", artifact.weights).ok()) {
    Die("cannot write the model");
  }
  const worker::ModelSource source = {.format = "slipway",
                                      .files = {{"architecture.json", dir / "architecture.json"},
                                                {"model.safetensors", dir / "model.safetensors"}}};
  const auto runtime =
      name == "torch"
          ? Must(worker::MakeTorchRuntime({}))
          : Must(worker::MakeOpenVinoRuntime({.instances = 2, .staging_dir = dir / "staging"}));
  return Cycle(*runtime, source, cycles) ? 0 : 1;
}
