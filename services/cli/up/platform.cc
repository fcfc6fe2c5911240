#include "services/cli/up/platform.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <memory>
#include <ostream>
#include <utility>

#include "common/crypto/ed25519.h"
#include "common/crypto/random.h"
#include "common/files/files.h"
#include "common/http/unix_get.h"
#include "common/process/local_process_launcher.h"
#include "common/process/shutdown.h"
#include "common/process/supervisor.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "services/cli/up/data_directory.h"
#include "services/cli/up/services.h"

namespace slipway::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr absl::Duration kStartLimit = absl::Seconds(60);
constexpr absl::Duration kLookAgain = absl::Milliseconds(20);

// Holds a port of 127.0.0.1 for a child that binds it again, also after a restart: bound, never
// listening, both with SO_REUSEADDR, which Linux allows.
class HeldPort {
 public:
  static absl::StatusOr<HeldPort> Hold(std::string_view option, int port) {
    HeldPort held;
    held.socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (held.socket_ < 0) return FromErrno(errno, "could not make a socket for", option);
    const int on = 1;
    ::setsockopt(held.socket_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (::bind(held.socket_, reinterpret_cast<sockaddr*>(&address), size) != 0) {
      return absl::FailedPreconditionError(
          fmt::format("{}: port {} of 127.0.0.1 is taken; choose another, or 0 for any free one",
                      option, port));
    }
    ::getsockname(held.socket_, reinterpret_cast<sockaddr*>(&address), &size);
    held.port_ = ntohs(address.sin_port);
    return held;
  }
  HeldPort(HeldPort&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), port_(other.port_) {}
  HeldPort& operator=(HeldPort&&) = delete;
  ~HeldPort() {
    if (socket_ >= 0) ::close(socket_);
  }
  int port() const { return port_; }

 private:
  HeldPort() = default;
  int socket_ = -1;
  int port_ = 0;
};

// Each service's signing key, and everyone's public keys in trust/; made once.
absl::Status MakeKeys(const DataDirectory& directory) {
  for (const char* service : {"gateway", "training", "controller"}) {
    const std::string path = directory.Folder(service) + "/identity.pem";
    if (!fs::exists(path)) RETURN_IF_ERROR(Ed25519PrivateKey::Generate().Save(path));
    ASSIGN_OR_RETURN(const Ed25519PrivateKey key, Ed25519PrivateKey::Load(path));
    RETURN_IF_ERROR(WriteFileAtomically(
        fmt::format("{}/{}.pub", directory.Folder("trust"), service), key.public_key().ToPem()));
  }
  const std::string pepper = directory.Folder("gateway") + "/pepper";
  if (!fs::exists(pepper)) {
    RETURN_IF_ERROR(WriteFileAtomically(pepper, RandomHex(32) + "\n", 0600));
  }
  return absl::OkStatus();
}

// Tells a person what the supervisor did, and keeps the state file that `slipway status` reads.
class Reporter {
 public:
  Reporter(std::ostream& out, std::string state_file, json state)
      : out_(out), state_file_(std::move(state_file)), state_(std::move(state)) {}

  void operator()(const SupervisorEvent& event) {
    MutexLock lock(mutex_);
    json& service = state_["services"][event.name];
    switch (event.kind) {
      case SupervisorEvent::Kind::kStarted:
        service["pid"] = event.pid;
        break;
      case SupervisorEvent::Kind::kExited:
        service["pid"] = 0;
        service["restarts"] = service.value("restarts", 0) + 1;
        out_ << fmt::format("{} {}; starting it again in {}\n", event.name, event.exit->ToString(),
                            absl::FormatDuration(event.restart_in))
             << std::flush;
        break;
      case SupervisorEvent::Kind::kStartFailed:
        out_ << fmt::format("{} could not be started ({}); trying again in {}\n", event.name,
                            std::string(event.error.message()),
                            absl::FormatDuration(event.restart_in))
             << std::flush;
        break;
    }
    // Without the file `slipway status` knows less; the platform itself does not need it.
    (void)WriteFileAtomically(state_file_, state_.dump() + "\n", 0600);
  }

 private:
  std::ostream& out_;
  const std::string state_file_;
  Mutex mutex_;
  json state_ GUARDED_BY(mutex_);
};

// Does a service's admin listener, on the Unix socket `path`, say that it is ready?
bool IsReady(const std::string& path) {
  return http::UnixGet(path, "/readyz", absl::Seconds(1)).has_value();
}

// True when every service is ready; false when the wish to stop came first.
absl::StatusOr<bool> WaitUntilReady(const DataDirectory& directory, ShutdownSignal& shutdown) {
  const Clock& clock = Clock::Real();
  const absl::Duration end = clock.Monotonic() + kStartLimit;
  for (;;) {
    std::string missing;
    for (const std::string& name : ServiceNames()) {
      if (!IsReady(directory.run_folder() + "/" + AdminSocket(name))) missing = name;
    }
    if (missing.empty()) return true;
    if (clock.Monotonic() > end) {
      return absl::UnavailableError(fmt::format("{} is not ready after {}; its log is {}/{}.jsonl",
                                                missing, absl::FormatDuration(kStartLimit),
                                                directory.Folder("logs"), missing));
    }
    if (shutdown.WaitFor(kLookAgain)) return false;
  }
}

// The key that the gateway made on its first start, or "".
std::string TakeAdminKey(const std::string& file) {
  absl::StatusOr<std::string> key = ReadFile(file);
  if (!key.ok()) return "";
  ::unlink(file.c_str());
  while (!key->empty() && key->back() == '\n') key->pop_back();
  return *key;
}

void Greet(std::ostream& out, const DataDirectory& directory, const std::string& address,
           const std::string& metrics, const std::string& admin_key) {
  out << fmt::format(
      "Slipway is up.\n\n  API        http://{}\n  Metrics    http://{}/metrics\n"
      "  Data       {}\n",
      address, metrics, directory.path());
  if (!admin_key.empty()) {
    out << fmt::format(
        "  Admin key  {}\n             (shown only now; `slipway key recover` makes "
        "another)\n",
        admin_key);
  }
  out << fmt::format(
      "\nTry next, in another terminal:\n"
      "  slipway context add local --address http://{} \\\n"
      "    --api-key {}\n"
      "  slipway tenant create acme\n"
      "  slipway --tenant acme key create --role developer --name me\n\n"
      "Ctrl-C stops it.\n",
      address, admin_key.empty() ? "<your admin key>" : admin_key);
  out << std::flush;
}

}  // namespace

absl::Status RunPlatform(const UpOptions& options, std::ostream& out) {
  ShutdownSignal shutdown;
  DataDirectory directory(options.data_dir);
  RETURN_IF_ERROR(directory.Open());
  RETURN_IF_ERROR(directory.MakeRunFolder());
  RETURN_IF_ERROR(MakeKeys(directory));
  ASSIGN_OR_RETURN(const HeldPort port, HeldPort::Hold("--port", options.port));
  ASSIGN_OR_RETURN(const HeldPort metrics_port,
                   HeldPort::Hold("--metrics-port", options.metrics_port));
  const Addresses addresses = {.api = fmt::format("127.0.0.1:{}", port.port()),
                               .metrics = fmt::format("127.0.0.1:{}", metrics_port.port())};

  Reporter reporter(out, directory.StateFile(),
                    {{"address", addresses.api},
                     {"metrics", addresses.metrics},
                     {"run", directory.run_folder()},
                     {"services", json::object()}});
  LocalProcessLauncher launcher;
  Supervisor supervisor(launcher, Clock::Real(), {.restart = {}, .stop_grace = absl::Seconds(20)},
                        [&](const SupervisorEvent& event) { reporter(event); });
  for (const std::string& name : ServiceNames()) {
    ASSIGN_OR_RETURN(const ProcessSpec spec, SpecOf(name, directory, addresses));
    RETURN_IF_ERROR(supervisor.Start(name, spec));
  }
  ASSIGN_OR_RETURN(const bool ready, WaitUntilReady(directory, shutdown));
  if (ready) {
    const std::string admin_key = TakeAdminKey(AdminKeyFile(directory));
    Greet(out, directory, addresses.api, addresses.metrics, admin_key);
    if (!options.ready_file.empty()) {
      json announcement = {{"address", addresses.api}, {"metrics", addresses.metrics}};
      if (!admin_key.empty()) announcement["admin_key"] = admin_key;
      RETURN_IF_ERROR(WriteFileAtomically(options.ready_file, announcement.dump() + "\n", 0600));
    }
    shutdown.Wait();
  }
  out << "Stopping ...\n" << std::flush;
  shutdown.ExitOnNextSignal();
  if (!options.ready_file.empty()) ::unlink(options.ready_file.c_str());
  supervisor.StopAll();
  directory.RemoveRunFolder();
  out << "Stopped.\n" << std::flush;
  return absl::OkStatus();
}

absl::StatusOr<PlatformState> GetPlatformState(const std::string& data_dir) {
  const DataDirectory directory(data_dir);
  const int64_t pid = directory.Holder();
  if (pid == 0) {
    return absl::UnavailableError(
        fmt::format("nothing runs on {}; `slipway up` starts it", directory.path()));
  }
  ASSIGN_OR_RETURN(const std::string text, ReadFile(directory.StateFile()));
  const json state = json::parse(text, nullptr, false);
  if (!state.is_object()) {
    return absl::InternalError(fmt::format("{} cannot be understood", directory.StateFile()));
  }
  PlatformState result = {.data_dir = directory.path(),
                          .pid = pid,
                          .address = state.value("address", ""),
                          .metrics = state.value("metrics", ""),
                          .services = {}};
  const std::string run = state.value("run", "");
  for (const std::string& name : ServiceNames()) {
    const json service = state.value("services", json::object()).value(name, json::object());
    result.services.push_back({.name = name,
                               .pid = service.value("pid", int64_t{0}),
                               .restarts = service.value("restarts", 0),
                               .ready = IsReady(run + "/" + AdminSocket(name))});
  }
  return result;
}

absl::Status StopPlatform(const std::string& data_dir, absl::Duration limit) {
  const DataDirectory directory(data_dir);
  const int64_t pid = directory.Holder();
  if (pid == 0) {
    return absl::UnavailableError(fmt::format("nothing runs on {}", directory.path()));
  }
  if (::kill(static_cast<pid_t>(pid), SIGTERM) != 0) {
    return FromErrno(errno, "could not stop process", std::to_string(pid));
  }
  const Clock& clock = Clock::Real();
  const absl::Duration end = clock.Monotonic() + limit;
  while (directory.Holder() != 0) {
    if (clock.Monotonic() > end) {
      return absl::DeadlineExceededError(
          fmt::format("process {} is still stopping after {}", pid, absl::FormatDuration(limit)));
    }
    clock.SleepFor(kLookAgain);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> RecoverAdminKey(const std::string& data_dir) {
  DataDirectory directory(data_dir);
  if (!fs::exists(directory.Folder("gateway"))) {
    return NotFound(fmt::format("a platform's data in {}", directory.path()));
  }
  RETURN_IF_ERROR(directory.Open());
  RETURN_IF_ERROR(directory.MakeRunFolder());
  ASSIGN_OR_RETURN(ProcessSpec spec, RecoverySpec(directory));
  LocalProcessLauncher launcher;
  ASSIGN_OR_RETURN(const std::unique_ptr<Process> process, launcher.Launch(spec));
  ASSIGN_OR_RETURN(const ProcessExit exit, process->Wait(absl::Minutes(1)));
  const std::string key = TakeAdminKey(AdminKeyFile(directory));
  directory.RemoveRunFolder();
  if (!exit.ok() || key.empty()) {
    return absl::InternalError(fmt::format("the gateway {}; its log is {}/gateway.jsonl",
                                           exit.ToString(), directory.Folder("logs")));
  }
  return key;
}

absl::Status VerifyAudit(const std::string& data_dir) {
  const DataDirectory directory(data_dir);
  if (!fs::exists(directory.Folder("gateway"))) {
    return NotFound(fmt::format("a platform's data in {}", directory.path()));
  }
  ASSIGN_OR_RETURN(const ProcessSpec spec, VerificationSpec(directory));
  LocalProcessLauncher launcher;
  ASSIGN_OR_RETURN(const std::unique_ptr<Process> process, launcher.Launch(spec));
  ASSIGN_OR_RETURN(const ProcessExit exit, process->Wait());
  if (!exit.ok()) return absl::DataLossError("the audit log was not verified");
  return absl::OkStatus();
}

}  // namespace slipway::cli
