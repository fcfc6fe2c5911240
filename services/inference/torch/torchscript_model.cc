#include "services/inference/torch/torchscript_model.h"

#include <torch/script.h>

#include <algorithm>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "common/files/files.h"
#include "common/nn/torch_network.h"
#include "common/runtime_settings/torchscript.h"
#include "common/sync/mutex.h"
#include "fmt/format.h"
#include "services/inference/signature.h"
#include "services/inference/watched_thread.h"

namespace slipway::worker {
namespace {

// Module files are read at once, to check and load the same bytes.
constexpr uint64_t kMaxFileBytes = uint64_t{16} << 30;
// A file may run code while it is loaded, and optimising takes its time.
constexpr absl::Duration kMaxLoad = absl::Minutes(5);

// What an exception says that came out of a module: its own error is the last line of a trace.
absl::Status ScriptError(const std::exception& error) {
  const absl::Status status = nn::TorchError(error);
  if (absl::IsResourceExhausted(status)) return status;
  std::string_view text = error.what();
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return absl::InternalError(std::string(text.substr(text.rfind('\n') + 1)));
}

absl::StatusOr<std::string> ReadAllowed(const ModelSource& source,
                                        const std::vector<std::string>& digests) {
  ASSIGN_OR_RETURN(const std::string path, PathOf(source, kTorchScriptFile));
  ASSIGN_OR_RETURN(std::string bytes, ReadFile(path, kMaxFileBytes));
  const std::string digest = "sha256:" + Sha256Hex(bytes);
  if (std::ranges::find(digests, digest) == digests.end()) return TorchScriptNotAllowed(digest);
  return bytes;
}

int64_t BytesOf(const torch::jit::Module& module) {
  int64_t bytes = 0;
  for (const at::Tensor& tensor : module.parameters())
    bytes += static_cast<int64_t>(tensor.nbytes());
  for (const at::Tensor& tensor : module.buffers()) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

absl::Status CheckTakes(const torch::jit::Method& method, size_t inputs) {
  const auto& arguments = method.function().getSchema().arguments();
  const auto needed = std::ranges::count_if(
      arguments, [](const c10::Argument& argument) { return !argument.default_value(); });
  // The first is the module itself.
  if (inputs + 1 >= static_cast<size_t>(needed) && inputs + 1 <= arguments.size()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      fmt::format("{} takes {} tensors, the signature has {}", method.name(), needed - 1, inputs));
}

// The tensors of what a method gave: one, or a tuple or list of them.
absl::StatusOr<std::vector<at::Tensor>> TensorsOf(const c10::IValue& value) {
  if (value.isTensor()) return std::vector{value.toTensor()};
  if (value.isTensorList()) return value.toTensorVector();
  std::vector<at::Tensor> tensors;
  if (value.isTuple()) {
    for (const c10::IValue& element : value.toTupleRef().elements()) {
      if (!element.isTensor()) return absl::InternalError("the method gives more than tensors");
      tensors.push_back(element.toTensor());
    }
    return tensors;
  }
  return absl::InternalError(fmt::format("the method gives a {}, not tensors", value.tagKind()));
}

class TorchScriptModel final : public LoadedModel {
 public:
  TorchScriptModel(torch::jit::Method method, Signature signature, int64_t bytes,
                   const std::string& device, TorchScriptOptions options)
      : method_(std::move(method)),
        signature_(std::move(signature)),
        bytes_(bytes),
        device_(device),
        options_(std::move(options)) {}

  std::string_view platform() const override { return "slipway_torchscript"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return device_.is_cpu() ? bytes_ : 0; }
  int64_t device_memory_bytes() const override { return device_.is_cpu() ? 0 : bytes_; }

  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    // The work's as well, since it may outlast this call.
    auto outputs = std::make_shared<absl::StatusOr<TensorBatch>>(absl::UnknownError("no run"));
    ASSIGN_OR_RETURN(std::unique_ptr<WatchedThread> thread, TakeThread());
    const bool done =
        thread->Run([outputs, copies = ToTorch(inputs), method = method_,
                     signature = signature_] { *outputs = RunMethod(method, copies, signature); },
                    options_.max_run);
    if (!done) return Hang();
    MutexLock lock(mutex_);
    idle_.push_back(std::move(thread));
    return *std::move(outputs);
  }

 private:
  // Copies: a method may write to what it takes, or give it back.
  std::vector<c10::IValue> ToTorch(const TensorBatch& inputs) const {
    std::vector<c10::IValue> copies;
    for (const Tensor& input : inputs) {
      copies.emplace_back(nn::ToTorch(input).to(device_, /*non_blocking=*/false, /*copy=*/true));
    }
    return copies;
  }

  static absl::StatusOr<TensorBatch> RunMethod(const torch::jit::Method& method,
                                               const std::vector<c10::IValue>& inputs,
                                               const Signature& signature) {
    try {
      const c10::InferenceMode no_gradients;
      ASSIGN_OR_RETURN(const std::vector<at::Tensor> tensors, TensorsOf(method(inputs)));
      TensorBatch outputs;
      for (size_t i = 0; i < tensors.size() && i < signature.outputs.size(); ++i) {
        ASSIGN_OR_RETURN(Tensor output, nn::FromTorch(signature.outputs[i].name, tensors[i]));
        outputs.push_back(std::move(output));
      }
      RETURN_IF_ERROR(CheckOutputs(signature, outputs));
      return outputs;
    } catch (const std::exception& error) {
      return ScriptError(error);
    }
  }

  absl::StatusOr<std::unique_ptr<WatchedThread>> TakeThread() const {
    MutexLock lock(mutex_);
    if (hangs_) return Hung();
    if (idle_.empty()) return std::make_unique<WatchedThread>();
    std::unique_ptr<WatchedThread> thread = std::move(idle_.back());
    idle_.pop_back();
    return thread;
  }

  absl::Status Hang() const {
    {
      MutexLock lock(mutex_);
      if (std::exchange(hangs_, true)) return Hung();
    }
    options_.on_hang();
    return Hung();
  }
  absl::Status Hung() const {
    return absl::DeadlineExceededError(
        fmt::format("the model ran for more than {}: its process ends and starts anew",
                    absl::FormatDuration(options_.max_run)));
  }

  const torch::jit::Method method_;  // keeps its module
  const Signature signature_;
  const int64_t bytes_;
  const c10::Device device_;
  const TorchScriptOptions options_;
  mutable Mutex mutex_;
  mutable std::vector<std::unique_ptr<WatchedThread>> idle_ GUARDED_BY(mutex_);
  mutable bool hangs_ GUARDED_BY(mutex_) = false;
};

absl::StatusOr<std::shared_ptr<const LoadedModel>> LoadBytes(const std::string& bytes,
                                                             const ModelSource& source,
                                                             const std::string& device,
                                                             const TorchScriptOptions& options) {
  const std::string name = source.method.empty() ? "forward" : source.method;
  try {
    const c10::InferenceMode no_gradients;
    std::istringstream stream(bytes);
    torch::jit::Module module = torch::jit::load(stream, c10::Device(device));
    const int64_t size = BytesOf(module);
    if (!module.find_method(name)) {
      return absl::InvalidArgumentError(fmt::format("has no method \"{}\"", name));
    }
    RETURN_IF_ERROR(CheckTakes(module.get_method(name), source.signature.inputs.size()));
    module.eval();
    std::vector<std::string> kept;
    if (name != "forward") kept.push_back(name);
    module = torch::jit::freeze(module, kept);
    module = torch::jit::optimize_for_inference(module, kept);
    return std::make_shared<const TorchScriptModel>(module.get_method(name), source.signature, size,
                                                    device, options);
  } catch (const std::exception& error) {
    const absl::Status status = ScriptError(error);
    return absl::IsResourceExhausted(status) ? status
                                             : absl::InvalidArgumentError(status.message());
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<const LoadedModel>> LoadTorchScript(
    const ModelSource& source, const std::string& device, const TorchScriptOptions& options) {
  if (source.settings.precision != RuntimeSettings::Precision::kFloat32) {
    return absl::UnimplementedError("TorchScript models compute in what they were made for");
  }
  if (source.signature.inputs.empty() || source.signature.outputs.empty()) {
    return absl::InvalidArgumentError(
        "TorchScript says nothing of its tensors: register the version with a signature");
  }
  ASSIGN_OR_RETURN(std::string bytes, ReadAllowed(source, options.digests));
  using Loaded = absl::StatusOr<std::shared_ptr<const LoadedModel>>;
  auto loaded = std::make_shared<Loaded>(absl::UnknownError("not loaded"));
  WatchedThread thread;
  const bool done = thread.Run([loaded, bytes = std::move(bytes), source, device,
                                options] { *loaded = LoadBytes(bytes, source, device, options); },
                               kMaxLoad);
  if (!done) {
    options.on_hang();
    return absl::DeadlineExceededError(
        fmt::format("{}: could not be loaded within {}: the worker's process ends",
                    kTorchScriptFile, absl::FormatDuration(kMaxLoad)));
  }
  if (!loaded->ok()) return Annotate(loaded->status(), kTorchScriptFile);
  return *std::move(*loaded);
}

}  // namespace slipway::worker
