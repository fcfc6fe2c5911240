#include "common/process/process_launcher.h"

#include <cstring>

#include "fmt/format.h"

namespace slipway {

std::string ProcessExit::ToString() const {
  if (signal == 0) return fmt::format("exited with code {}", code);
  const char* name = sigabbrev_np(signal);
  if (name == nullptr) return fmt::format("was killed by signal {}", signal);
  return fmt::format("was killed by SIG{}", name);
}

}  // namespace slipway
