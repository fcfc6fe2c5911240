#ifndef SLIPWAY_TESTS_BENCH_SERVING_SERVER_PROCESS_H_
#define SLIPWAY_TESTS_BENCH_SERVING_SERVER_PROCESS_H_

#include <sched.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "common/process/process_launcher.h"

namespace slipway {

/// The core of whatever is measured, and that of its callers; the same one on a machine of one.
inline constexpr int kServerCore = 0;
inline int CallerCore() { return ::sysconf(_SC_NPROCESSORS_ONLN) > 1 ? 1 : 0; }

/// This process and what it starts from now on run on `core` only.
inline void PinTo(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  if (::sched_setaffinity(0, sizeof(cores), &cores) != 0) std::perror("sched_setaffinity");
}

/// User and system time of a process so far, from /proc/<pid>/stat, in microseconds.
inline double CpuMicros(int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  // What comes after the name, which may hold anything: field 3 on.
  std::istringstream fields(text.substr(text.rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) * 1e6 / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

/// A program on the server's core, until the object goes.
class ServerProcess {
 public:
  ServerProcess(ProcessLauncher& launcher, const std::string& program,
                const std::vector<std::string>& args) {
    ProcessSpec spec;
    spec.program = "/usr/bin/taskset";
    spec.args = {"-c", std::to_string(kServerCore), program};
    spec.args.insert(spec.args.end(), args.begin(), args.end());
    auto process = launcher.Launch(spec);
    if (!process.ok()) {
      std::fprintf(stderr, "%s: %s\n", program.c_str(), process.status().ToString().c_str());
      std::exit(1);
    }
    process_ = *std::move(process);
  }
  ~ServerProcess() {
    process_->Signal(SIGTERM).IgnoreError();
    if (!process_->Wait(absl::Seconds(20)).ok()) process_->Kill();
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  int64_t pid() const { return process_->pid(); }

 private:
  std::unique_ptr<Process> process_;
};

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_SERVING_SERVER_PROCESS_H_
