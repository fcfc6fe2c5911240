#include <unistd.h>

#include <cstdio>

#include "common/process/local_process_launcher.h"

int main() {
  slipway::LocalProcessLauncher launcher;
  slipway::ProcessSpec spec;
  spec.program = "/bin/sleep";
  spec.args = {"1000"};
  auto child = launcher.Launch(spec);
  if (!child.ok()) return 1;
  std::printf("%lld\n", static_cast<long long>((*child)->pid()));
  std::fflush(stdout);
  pause();
}
