#include "tests/bench/runtimes/onnx_runtime.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "fmt/format.h"
#include "fmt/ranges.h"
#include "tests/support/places.h"

namespace slipway {

std::string PeerCache() {
  if (const char* const cache = std::getenv("SLIPWAY_CACHE")) return cache;
  const char* const home = std::getenv("HOME");
  return fmt::format("{}/.cache/slipway", home == nullptr ? "" : home);
}

std::optional<OnnxRuntimeRun> RunOnnxRuntime(const std::string& path, const Shape& shape,
                                             absl::Duration time) {
  const std::string command =
      fmt::format("{} {} {} {} {}", SourceFile("tests/bench/runtimes/onnxruntime_peer").string(),
                  PeerCache(), path, fmt::join(shape.dims(), ","), absl::ToDoubleSeconds(time));
  FILE* const pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  std::string text;
  char buffer[512];
  while (std::fgets(buffer, sizeof(buffer), pipe) != nullptr) text += buffer;
  if (::pclose(pipe) != 0) return std::nullopt;
  std::istringstream in(text);
  OnnxRuntimeRun run;
  in >> run.cpu_us;
  for (float value; in >> value;) run.answer.push_back(value);
  return run;
}

}  // namespace slipway
