// The bare forward of our models by each runtime, as the worker calls it (LoadedModel::Run, one
// thread), beside ONNX Runtime on the same model, which is installed from PyPI the first time.
// CPU time of the process; what is compared runs in turns and each figure is a median. The answers
// are compared first.
//
//   runtimes_bench [seconds a measurement, default 0.3] [rounds, default 7]

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "common/nn/model_description.h"
#include "common/onnx/export.h"
#include "common/tensor/safetensors.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "services/inference/openvino/openvino_runtime.h"
#include "services/inference/torch/torch_runtime.h"
#include "tests/bench/bench.h"
#include "tests/bench/runtimes/frozen_script.h"
#include "tests/bench/runtimes/onnx_runtime.h"
#include "tests/bench/serving/models.h"
#include "tests/support/serving/torchscript.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using worker::LoadedModel;
using worker::ModelSource;
using worker::RuntimeSettings;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "runtimes_bench: %s\n", what.c_str());
  std::exit(1);
}

template <class T>
T Must(absl::StatusOr<T> value) {
  if (!value.ok()) Die(value.status().ToString());
  return *std::move(value);
}

double CpuMicros() {
  rusage usage;
  ::getrusage(RUSAGE_SELF, &usage);
  const auto micros = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_usec);
  };
  return micros(usage.ru_utime) + micros(usage.ru_stime);
}

Tensor InputOf(Shape shape) {
  std::vector<float> values(static_cast<size_t>(shape.Product()));
  for (size_t i = 0; i < values.size(); ++i) values[i] = BenchInput(static_cast<int64_t>(i));
  return Must(Tensor::Make(
      "x", DataType::kFp32, std::move(shape),
      Buffer::Own({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)}),
      "x"));
}

// What a forward costs and answers.
struct Measurement {
  double cpu_us = NAN;
  std::vector<float> answer;
};

// Something that runs a model on one shape.
class Contender {
 public:
  explicit Contender(std::string name) : name_(std::move(name)) {}
  virtual ~Contender() = default;
  virtual Measurement Measure(const Tensor& input, absl::Duration time) = 0;
  const std::string& name() const { return name_; }

 private:
  const std::string name_;
};

class OurRuntime final : public Contender {
 public:
  OurRuntime(std::string name, std::shared_ptr<const LoadedModel> model)
      : Contender(std::move(name)), model_(std::move(model)) {}

  Measurement Measure(const Tensor& input, absl::Duration time) override {
    const worker::TensorBatch inputs = {input};
    Measurement result;
    for (int i = 0; i < 10; ++i) {
      const auto outputs = Must(model_->Run(inputs, absl::InfiniteFuture()));
      const Tensor& output = outputs[0];
      result.answer.resize(static_cast<size_t>(std::min<int64_t>(output.element_count(), 10)));
      std::memcpy(result.answer.data(), output.data().data(), result.answer.size() * sizeof(float));
    }
    const Clock& clock = Clock::Real();
    const absl::Duration end = clock.Monotonic() + time;
    const double begin = CpuMicros();
    int calls = 0;
    for (; clock.Monotonic() < end; calls += 5) {
      for (int i = 0; i < 5; ++i) Must(model_->Run(inputs, absl::InfiniteFuture()));
    }
    result.cpu_us = (CpuMicros() - begin) / calls;
    return result;
  }

 private:
  const std::shared_ptr<const LoadedModel> model_;
};

class OnnxRuntime final : public Contender {
 public:
  explicit OnnxRuntime(std::string path) : Contender("ONNX Runtime"), path_(std::move(path)) {}

  Measurement Measure(const Tensor& input, absl::Duration time) override {
    std::optional<OnnxRuntimeRun> run = RunOnnxRuntime(path_, input.shape(), time);
    if (!run) return {};
    return {.cpu_us = run->cpu_us, .answer = std::move(run->answer)};
  }

 private:
  const std::string path_;
};

class Script final : public Contender {
 public:
  Script(const std::string& bytes, bool optimized)
      : Contender(optimized ? "bare script" : "frozen only"), script_(bytes, optimized) {}

  Measurement Measure(const Tensor& input, absl::Duration time) override {
    Measurement result;
    result.answer = script_.Run(input, 10);
    result.answer.resize(std::min<size_t>(result.answer.size(), 10));
    const Clock& clock = Clock::Real();
    const absl::Duration end = clock.Monotonic() + time;
    const double begin = CpuMicros();
    int calls = 0;
    for (; clock.Monotonic() < end; calls += 5) script_.Run(input, 5);
    result.cpu_us = (CpuMicros() - begin) / calls;
    return result;
  }

 private:
  FrozenScript script_;
};

// BenchCnn() as somebody would have written it in PyTorch, with names that Python allows.
std::string CnnScript(std::span<const Tensor> weights) {
  std::string code = "def forward(self, x):\n  x = x.unsqueeze(1)\n";
  for (const char* block : {"block_0_conv_0", "block_1_conv_0"}) {
    code += fmt::format(
        "  x = torch.conv2d(x, self.{0}_weight, self.{0}_bias, [1, 1], [1, 1])\n"
        "  x = torch.batch_norm(x, self.{0}_norm_weight, self.{0}_norm_bias,\n"
        "    self.{0}_norm_running_mean, self.{0}_norm_running_var, False, 0.1, 1e-5, False)\n"
        "  x = torch.relu(torch.max_pool2d(x, [2, 2], [2, 2]))\n",
        block);
  }
  code +=
      "  x = torch.relu(torch.linear(x.flatten(1), self.hidden_0_weight, self.hidden_0_bias))\n"
      "  return torch.softmax(torch.linear(x, self.head_weight, self.head_bias), 1)\n";
  std::vector<Tensor> parameters;
  for (const Tensor& tensor : weights) {
    std::string name = tensor.name();
    std::replace(name.begin(), name.end(), '.', '_');
    parameters.push_back(
        Must(Tensor::Make(name, tensor.dtype(), tensor.shape(), tensor.data(), name)));
  }
  return MakeTorchScript(code, parameters);
}

struct Work {
  std::string name;
  TestArtifact artifact;
  std::vector<int64_t> row;
  std::vector<int64_t> batches;
};

void Compare(const Work& work, absl::Duration time, int rounds) {
  const TempDir dir;
  const auto write = [&](const std::string& name, const std::string& bytes) {
    if (!WriteFileAtomically(dir / name, bytes).ok()) Die("cannot write " + name);
  };
  const auto description = Must(nn::ModelDescription::Parse(work.artifact.description, ""));
  const auto weights =
      Must(SafetensorsFile::Parse(Buffer::Borrow(work.artifact.weights), "weights"));
  write("architecture.json", work.artifact.description);
  write("model.safetensors", work.artifact.weights);
  write("model.onnx",
        Must(onnx::ExportOnnx(Must(description.BuildNetwork("")), weights.tensors())));
  std::vector<int64_t> samples = {16};
  samples.insert(samples.end(), work.row.begin(), work.row.end());
  const std::vector<Tensor> sample = {InputOf(Shape(samples))};
  if (!WriteSafetensors(dir / "samples.safetensors", sample).ok()) Die("cannot write samples");
  ModelSource source = {.format = "slipway", .files = {}};
  for (const char* file : {"architecture.json", "model.safetensors", "samples.safetensors"}) {
    source.files[file] = dir / file;
  }

  static const auto torch = Must(worker::MakeTorchRuntime({}));
  const auto openvino = Must(worker::MakeOpenVinoRuntime({.staging_dir = dir / "staging"}));
  std::vector<std::unique_ptr<Contender>> contenders;
  contenders.push_back(std::make_unique<OurRuntime>("torch", Must(torch->Load(source))));
  contenders.push_back(std::make_unique<OurRuntime>("openvino", Must(openvino->Load(source))));
  contenders.push_back(std::make_unique<OnnxRuntime>(dir / "model.onnx"));
  if (work.row.size() == 2) {
    const std::string script = CnnScript(weights.tensors());
    write("model.pt", script);
    const auto runtime = Must(
        worker::MakeTorchRuntime({.torchscript = {.digests = {"sha256:" + Sha256Hex(script)}}}));
    const auto network = Must(description.BuildNetwork(""));
    contenders.push_back(std::make_unique<OurRuntime>(
        "torchscript",
        Must(runtime->Load({.format = "torchscript",
                            .files = {{"model.pt", dir / "model.pt"}},
                            .signature = {{network.value(network.inputs()[0])},
                                          {network.value(network.outputs()[0])}}}))));
    contenders.push_back(std::make_unique<Script>(script, /*optimized=*/true));
    contenders.push_back(std::make_unique<Script>(script, /*optimized=*/false));
  }
  source.settings.precision = RuntimeSettings::Precision::kBfloat16;
  if (auto model = openvino->Load(source); model.ok()) {
    contenders.push_back(std::make_unique<OurRuntime>("openvino bf16", *std::move(model)));
  }

  for (const int64_t batch : work.batches) {
    std::vector<int64_t> dims = {batch};
    dims.insert(dims.end(), work.row.begin(), work.row.end());
    const Tensor input = InputOf(Shape(dims));
    std::vector<std::vector<double>> figures(contenders.size());
    std::vector<double> differences(contenders.size());
    std::vector<float> expected;
    for (int round = 0; round < rounds; ++round) {
      for (size_t i = 0; i < contenders.size(); ++i) {
        // There and back, so that nobody always runs first.
        const size_t who = round % 2 == 0 ? i : contenders.size() - 1 - i;
        const Measurement measured = contenders[who]->Measure(input, time);
        if (!std::isnan(measured.cpu_us)) figures[who].push_back(measured.cpu_us);
        if (expected.empty()) expected = measured.answer;
        for (size_t k = 0; k < std::min(expected.size(), measured.answer.size()); ++k) {
          differences[who] =
              std::max<double>(differences[who], std::abs(expected[k] - measured.answer[k]));
        }
      }
    }
    for (size_t i = 0; i < contenders.size(); ++i) {
      const double cpu = Median(figures[i]);
      if (std::isnan(cpu)) {
        fmt::print("{:<4} batch {:>2}  {:<14} not measured\n", work.name, batch,
                   contenders[i]->name());
        continue;
      }
      fmt::print(
          "{:<4} batch {:>2}  {:<14} {:>9.1f} us CPU a call {:>10.0f} rows a CPU second  "
          "answers differ by {:.1g}\n",
          work.name, batch, contenders[i]->name(), cpu, static_cast<double>(batch) * 1e6 / cpu,
          differences[i]);
    }
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  using namespace slipway;
  const absl::Duration time = absl::Seconds(argc > 1 ? std::atof(argv[1]) : 0.3);
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 7;
  Compare({"MLP", BenchMlp(), {32}, {1}}, time, rounds);
  Compare({"CNN", BenchCnn(), {28, 28}, {1, 8, 32}}, time, rounds);
}
