#include "tests/support/postgres.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "fmt/format.h"

namespace slipway {
namespace {

constexpr char kUser[] = "postgres";

std::string FindPrograms() {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
    const std::string bin = entry.path() / "bin";
    if (std::filesystem::exists(bin + "/initdb")) found.push_back(bin);
  }
  std::sort(found.begin(), found.end());
  return found.empty() ? "" : found.back();
}

/// A port that was free a moment ago.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  int port = 0;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
      getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0) {
    port = ntohs(address.sin_port);
  }
  close(fd);
  return port;
}

}  // namespace

TestPostgres& TestPostgres::Shared() {
  static TestPostgres server;
  return server;
}

void TestPostgres::Fail(const std::string& what) const {
  std::fprintf(stderr, "PostgreSQL for the test: %s\n", what.c_str());
  std::ifstream log(dir_ / "log");
  std::cerr << log.rdbuf() << std::endl;
  std::abort();
}

ProcessSpec TestPostgres::Command(const std::string& program,
                                  const std::vector<std::string>& args) const {
  ProcessSpec spec;
  spec.log_file = dir_ / "log";
  spec.working_dir = dir_.path();
  if (geteuid() == 0) {
    // Changing the user clears the signal that the launcher has asked for: ask again.
    spec.program = "/usr/bin/setpriv";
    spec.args = {fmt::format("--reuid={}", kUser), fmt::format("--regid={}", kUser),
                 "--init-groups", "--pdeathsig=KILL", fmt::format("{}/{}", bin_, program)};
  } else {
    spec.program = fmt::format("{}/{}", bin_, program);
  }
  spec.args.insert(spec.args.end(), args.begin(), args.end());
  return spec;
}

void TestPostgres::Run(const std::string& program, const std::vector<std::string>& args) {
  auto process = launcher_.Launch(Command(program, args));
  if (!process.ok()) Fail(process.status().ToString());
  const auto exit = (*process)->Wait();
  if (!exit->ok()) Fail(fmt::format("{} {}", program, exit->ToString()));
}

TestPostgres::TestPostgres() : bin_(FindPrograms()) {
  if (bin_.empty()) Fail("no /usr/lib/postgresql/*/bin/initdb: install the package postgresql");
  if (geteuid() == 0) {
    const passwd* user = getpwnam(kUser);
    if (user == nullptr || chown(dir_.path().c_str(), user->pw_uid, user->pw_gid) != 0) {
      Fail("cannot give the folder to the user postgres");
    }
  }
  Run("initdb", {"-D", dir_ / "data", "-U", "slipway", "-A", "trust", "-E", "UTF8", "--locale=C",
                 "--no-sync"});
  Start();
}

TestPostgres::~TestPostgres() { Stop(); }

void TestPostgres::Start() {
  const bool keep_port = port_ != 0;
  for (int attempt = 0; attempt < 5; ++attempt) {
    if (!keep_port) port_ = FreePort();
    // fsync=off: what is tested is our use of the server, not its disk.
    auto server = launcher_.Launch(
        Command("postgres", {"-D", dir_ / "data", "-h", "127.0.0.1", "-p", fmt::format("{}", port_),
                             "-k", dir_.path(), "-c", "fsync=off", "-c", "max_connections=60"}));
    if (!server.ok()) Fail(server.status().ToString());
    server_ = *std::move(server);
    // Its pid file's last line says "ready" once it takes connections. Each turn waits for the
    // server's end, which is the other thing that may happen.
    while (!server_->Wait(absl::Milliseconds(10)).ok()) {
      std::ifstream file(dir_ / "data/postmaster.pid");
      std::string line;
      bool ready = false;
      for (bool first = true; std::getline(file, line); first = false) {
        if (first && line != fmt::format("{}", server_->pid())) break;  // of the server before
        ready = line.starts_with("ready");
      }
      if (ready) return;
    }
  }
  Fail("does not start");
}

void TestPostgres::Stop() {
  if (server_ == nullptr) return;
  server_->Signal(SIGINT).IgnoreError();  // a "fast" shutdown: connections are cut
  if (!server_->Wait(absl::Seconds(20)).ok()) server_->Kill();
  server_->Wait().IgnoreError();
  server_ = nullptr;
}

std::string TestPostgres::NewDatabase() {
  const std::string name = fmt::format("test{}", ++databases_);
  Run("createdb", {"-h", dir_.path(), "-p", fmt::format("{}", port_), "-U", "slipway", name});
  return fmt::format("postgresql://slipway@127.0.0.1:{}/{}", port_, name);
}

}  // namespace slipway
