#ifndef SLIPWAY_SERVICES_INFERENCE_OPENVINO_OPENVINO_RUNTIME_H_
#define SLIPWAY_SERVICES_INFERENCE_OPENVINO_OPENVINO_RUNTIME_H_

#include <memory>
#include <string>

#include "services/inference/model_runtime.h"

namespace slipway::worker {

struct OpenVinoOptions {
  /// How many calls of one model may run at once; each has buffers of its own.
  int instances = 1;
  /// Threads of one call.
  int threads = 1;
  /// Where folders for the frontends are made while a model loads: it is made where it is absent.
  std::string staging_dir;
};

/// Models on the CPU by OpenVINO:
/// - "onnx": model.onnx, and beside it the files that it names as external data;
/// - "tensorflow": a SavedModel (saved_model.pb, variables/...), of which the default signature;
/// - "paddle": inference.pdmodel and inference.pdiparams;
/// - "slipway": our own architectures, written as ONNX when they are loaded.
/// A model runs on the thread that calls it, in float32 unless the settings say otherwise; with
/// `threads` above 1 others help. INT64 is computed in 32 bits.
/// Errors: kInternal where OpenVINO or its CPU plugin is not there.
absl::StatusOr<std::unique_ptr<ModelRuntime>> MakeOpenVinoRuntime(const OpenVinoOptions& options);

}  // namespace slipway::worker

#endif  // SLIPWAY_SERVICES_INFERENCE_OPENVINO_OPENVINO_RUNTIME_H_
