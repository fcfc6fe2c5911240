#ifndef SLIPWAY_TESTS_INTEGRATION_SERVICES_INFERENCE_TRAIN_HERE_H_
#define SLIPWAY_TESTS_INTEGRATION_SERVICES_INFERENCE_TRAIN_HERE_H_

#include <string>
#include <string_view>

#include "common/files/files.h"
#include "common/process/local_process_launcher.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "services/inference/model_runtime.h"
#include "tests/support/places.h"
#include "tests/support/temp_dir.h"

namespace slipway::worker {

/// Runs the real trainer over the files in `folder`/data; what it made is in `folder`/output, and
/// `model` is the servable part of it. Fatal failures where it fails.
inline void TrainHere(const TempDir& folder, std::string_view spec, ModelSource& model) {
  ASSERT_TRUE(WriteFileAtomically(folder / "attempt.json",
                                  fmt::format(R"({{"job":"tenants/t/jobs/j","attempt":1,)"
                                              R"("checkpoint_dir":"{}","spec":{}}})",
                                              folder / "checkpoints", spec))
                  .ok());
  ProcessSpec trainer;
  trainer.program = Program("slipway-trainer");
  trainer.args = {"--attempt", folder / "attempt.json", "--data", folder / "data",
                  "--output",  folder / "output"};
  trainer.log_file = folder / "log";
  LocalProcessLauncher launcher;
  const ProcessExit exit = launcher.Launch(trainer).value()->Wait(absl::Seconds(200)).value();
  ASSERT_TRUE(exit.ok()) << ReadFile(folder / "log").value_or("");
  model = {.format = "slipway", .files = {}};
  for (const char* file : {"architecture.json", "model.safetensors", "model.onnx"}) {
    model.files[file] = folder / (std::string("output/") + file);
  }
}

}  // namespace slipway::worker

#endif  // SLIPWAY_TESTS_INTEGRATION_SERVICES_INFERENCE_TRAIN_HERE_H_
