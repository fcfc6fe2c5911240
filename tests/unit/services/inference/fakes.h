#ifndef SLIPWAY_TESTS_UNIT_SERVICES_INFERENCE_FAKES_H_
#define SLIPWAY_TESTS_UNIT_SERVICES_INFERENCE_FAKES_H_

#include <atomic>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/crypto/hash.h"
#include "common/status/status.h"
#include "common/sync/mutex.h"
#include "services/inference/model_runtime.h"
#include "slipway/registry/v1/registry.pb.h"
#include "tests/support/fake_blob_source.h"

namespace slipway::worker {

/// Open or closed; whoever comes while it is closed waits.
class Gate {
 public:
  void Close() { Set(false); }
  void Open() { Set(true); }
  void Pass() {
    MutexLock lock(mutex_);
    ++waiting_;
    changed_.SignalAll();
    while (!open_) changed_.Wait(mutex_);
    --waiting_;
  }
  /// Until `count` wait in Pass().
  void AwaitWaiting(int count) {
    MutexLock lock(mutex_);
    while (waiting_ < count) changed_.Wait(mutex_);
  }

 private:
  void Set(bool open) {
    MutexLock lock(mutex_);
    open_ = open;
    changed_.SignalAll();
  }
  Mutex mutex_;
  CondVar changed_;
  bool open_ GUARDED_BY(mutex_) = true;
  int waiting_ GUARDED_BY(mutex_) = 0;
};

/// Takes x FP32 [-1, 2], gives sum FP32 [-1, 1]: the sum of a row plus a bias.
class FakeModel final : public LoadedModel {
 public:
  FakeModel(float bias, bool on_device, Gate& gate, std::atomic<int>& runs,
            std::shared_ptr<Gate> drop_gate)
      : bias_(bias),
        on_device_(on_device),
        gate_(gate),
        runs_(runs),
        drop_gate_(std::move(drop_gate)) {}
  ~FakeModel() override { drop_gate_->Pass(); }
  std::string_view platform() const override { return "fake"; }
  const Signature& signature() const override { return signature_; }
  int64_t memory_bytes() const override { return on_device_ ? 100 : 1000; }
  int64_t device_memory_bytes() const override { return on_device_ ? 1000 : 0; }
  absl::StatusOr<TensorBatch> Run(const TensorBatch& inputs, absl::Time) const override {
    gate_.Pass();
    ++runs_;
    const int64_t rows = inputs[0].shape()[0];
    std::vector<float> in(static_cast<size_t>(2 * rows));
    std::memcpy(in.data(), inputs[0].data().data(), in.size() * sizeof(float));
    std::string out;
    for (size_t row = 0; row < static_cast<size_t>(rows); ++row) {
      const float sum = in[2 * row] + in[2 * row + 1] + bias_;
      out.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
    }
    ASSIGN_OR_RETURN(Tensor tensor, Tensor::Make("sum", DataType::kFp32, Shape({rows, 1}),
                                                 Buffer::Own(std::move(out)), "sum"));
    return TensorBatch{std::move(tensor)};
  }

 private:
  const Signature signature_ = {{{"x", DataType::kFp32, {-1, 2}}},
                                {{"sum", DataType::kFp32, {-1, 1}}}};
  const float bias_;
  const bool on_device_;
  Gate& gate_;
  std::atomic<int>& runs_;
  const std::shared_ptr<Gate> drop_gate_;
};

/// Makes a FakeModel of a file "bias" that holds a number in digits.
class FakeRuntime final : public ModelRuntime {
 public:
  absl::StatusOr<std::shared_ptr<const LoadedModel>> Load(const ModelSource& source) override {
    ++loads;
    load_gate.Pass();
    if (source.format != "fake") return absl::UnimplementedError("format " + source.format);
    if (!source.files.contains("bias")) return absl::InvalidArgumentError("bias: is missing");
    std::ifstream file(source.files.at("bias"));
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    if (text.find_first_not_of("0123456789") != std::string::npos) {
      return absl::InvalidArgumentError("bias: is no number");
    }
    auto model = std::make_shared<FakeModel>(std::stof(text), on_device, run_gate, runs, drop_gate);
    newest = model;
    return model;
  }

  /// Of loads, and of runs.
  Gate load_gate;
  Gate run_gate;
  /// Of models whose memory is freed; they may outlive this.
  const std::shared_ptr<Gate> drop_gate = std::make_shared<Gate>();
  /// Of models that are loaded from now on: as on a GPU, but for 100 bytes.
  std::atomic<bool> on_device = false;
  std::atomic<int> loads = 0;
  std::atomic<int> runs = 0;
  std::weak_ptr<const LoadedModel> newest;
};

/// A version of `tenant`'s model "cnn" whose one file is `bias`.
inline slipway::registry::v1::ModelVersion FakeVersion(FakeBlobSource& source, int number,
                                                       const std::string& bias,
                                                       const std::string& tenant = "acme") {
  slipway::registry::v1::ModelVersion version;
  version.set_name("tenants/" + tenant + "/models/cnn/versions/" + std::to_string(number));
  version.mutable_artifact()->set_format("fake");
  auto& file = *version.mutable_artifact()->add_files();
  file.set_path("bias");
  file.set_digest(source.Add(bias));
  file.set_size_bytes(static_cast<int64_t>(bias.size()));
  auto& input = *version.mutable_signature()->add_inputs();
  input.set_name("x");
  input.set_datatype("FP32");
  input.add_shape(-1);
  input.add_shape(2);
  auto& output = *version.mutable_signature()->add_outputs();
  output.set_name("sum");
  output.set_datatype("FP32");
  output.add_shape(-1);
  output.add_shape(1);
  return version;
}

}  // namespace slipway::worker

#endif  // SLIPWAY_TESTS_UNIT_SERVICES_INFERENCE_FAKES_H_
