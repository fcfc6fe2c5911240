// A file of 2 GB up and down again through the real gateway and the real registry: how fast, and
// how much memory each of the two took for it. Ends non-zero where one grew by 64 MB or more, or
// where what comes back is not what was sent.
//
//   transfer_bench [gigabytes, default 2]

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>

#include "common/crypto/hash.h"
#include "common/http/unix_get.h"
#include "common/process/local_process_launcher.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "tests/support/gateway/fake_platform.h"
#include "tests/support/gateway/gateway_process.h"
#include "tests/support/places.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway {
namespace {

constexpr int64_t kLimit = 64 << 20;
constexpr size_t kPiece = 1 << 20;

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "transfer_bench: %s\n", what.c_str());
  std::exit(1);
}

// A line of /proc/<pid>/status, in bytes: "VmRSS", "VmHWM".
int64_t Memory(int64_t pid, const std::string& name) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(name + ":")) return std::atoll(line.c_str() + name.size() + 1) << 10;
  }
  Die("no " + name + " of a process that should run");
}

// How much a process's resident memory grew at its highest, from now on.
class Growth {
 public:
  Growth(const char* name, int64_t pid) : name_(name), pid_(pid) {
    std::ofstream(fmt::format("/proc/{}/clear_refs", pid)) << 5;  // the high-water mark starts anew
    before_ = Memory(pid, "VmRSS");
  }
  // Prints it; false where it is over the limit.
  bool Report() const {
    const int64_t grown = Memory(pid_, "VmHWM") - before_;
    std::printf("  %-9s %5.1f MB resident before, +%.1f MB at most\n", name_,
                static_cast<double>(before_) / (1 << 20), static_cast<double>(grown) / (1 << 20));
    return grown < kLimit;
  }

 private:
  const char* const name_;
  const int64_t pid_;
  int64_t before_ = 0;
};

// One HTTP exchange at a time over a connection of its own.
class Connection {
 public:
  explicit Connection(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      Die("the gateway takes no connection");
    }
  }
  ~Connection() { ::close(fd_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) Die("the gateway hung up");
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
  }
  // What has come; "" at the end.
  std::string_view Receive() {
    buffer_.resize(kPiece);
    const ssize_t got = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
    return {buffer_.data(), static_cast<size_t>(got < 0 ? 0 : got)};
  }
  // An answer's body, whole: the request asked for the connection's end.
  std::string ReadAll() {
    std::string answer;
    for (std::string_view piece = Receive(); !piece.empty(); piece = Receive()) answer += piece;
    if (!answer.starts_with("HTTP/1.1 200")) Die("the gateway answers " + answer.substr(0, 500));
    return answer.substr(answer.find("\r\n\r\n") + 4);
  }

 private:
  const int fd_;
  std::string buffer_;
};

std::string Head(const std::string& method, const std::string& target, const std::string& key,
                 int64_t length) {
  return fmt::format(
      "{} {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n"
      "Content-Length: {}\r\n\r\n",
      method, target, key, length);
}

nlohmann::json Post(int port, const std::string& target, const std::string& key,
                    const std::string& body) {
  Connection connection(port);
  connection.Send(Head("POST", target, key, static_cast<int64_t>(body.size())) + body);
  return nlohmann::json::parse(connection.ReadAll());
}

std::unique_ptr<Process> StartRegistry(ProcessLauncher& launcher, const TestTrust& trust,
                                       const TempDir& folder) {
  ProcessSpec spec;
  spec.program = Program("slipway-registry");
  for (const std::string& setting :
       {"listen=unix:" + (folder / "registry.sock"),
        "admin_listen=unix:" + (folder / "registry-admin.sock"), "trust_dir=" + trust.folder(),
        "database=sqlite:" + (folder / "registry.db"), "blobs=" + (folder / "blobs"),
        std::string("log.level=warning")}) {
    spec.args.insert(spec.args.end(), {"--set", setting});
  }
  auto process = launcher.Launch(spec);
  if (!process.ok()) Die(process.status().ToString());
  while (!http::UnixGet(folder / "registry-admin.sock", "/readyz", absl::Seconds(5))) {
    if ((*process)->Wait(absl::Milliseconds(10)).ok()) Die("the registry did not start");
  }
  return *std::move(process);
}

// Bytes that do not compress to nothing and differ from piece to piece.
void Fill(std::string& piece, uint64_t number) {
  uint64_t state = number * 0x9E3779B97F4A7C15 + 1;
  for (size_t at = 0; at + 8 <= piece.size(); at += 8) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(piece.data() + at, &state, 8);
  }
}

double Gigabytes(int64_t bytes) { return static_cast<double>(bytes) / (1 << 30); }

int Main(int64_t bytes) {
  const TempDir folder;
  const TestTrust trust;
  LocalProcessLauncher launcher;
  const auto registry = StartRegistry(launcher, trust, folder);
  gateway::FakePlatform platform(trust, folder / "platform.sock");
  gateway::GatewayProcess gateway(launcher, trust,
                                  {.registry = "unix:" + (folder / "registry.sock"),
                                   .training = platform.address(),
                                   .controller = platform.address(),
                                   .settings = {},
                                   .wrapper = {}});
  Post(gateway.port(), "/api/v1/tenants?tenantId=acme", gateway.operator_key(), "{}");
  const std::string key = Post(gateway.port(), "/api/v1/tenants/acme/keys", gateway.operator_key(),
                               R"({"role":"ROLE_OWNER"})")["secret"];
  // Everything that is allocated once.
  Post(gateway.port(), "/api/v1/tenants/-/blobs", key, std::string(kPiece, 'w'));

  const Clock& clock = Clock::Real();
  bool flat = true;
  std::string piece(kPiece, '\0');
  Sha256 sent;
  std::string name;
  {
    const Growth of_gateway("gateway", gateway.pid());
    const Growth of_registry("registry", registry->pid());
    const absl::Duration start = clock.Monotonic();
    Connection connection(gateway.port());
    connection.Send(Head("POST", "/api/v1/tenants/-/blobs", key, bytes));
    for (int64_t at = 0; at < bytes; at += static_cast<int64_t>(kPiece)) {
      Fill(piece, static_cast<uint64_t>(at));
      sent.Update(piece);
      connection.Send(piece);
    }
    name = nlohmann::json::parse(connection.ReadAll())["name"];
    std::printf("upload: %.1f GB in %.1f s\n", Gigabytes(bytes),
                absl::ToDoubleSeconds(clock.Monotonic() - start));
    flat = of_gateway.Report() && flat;
    flat = of_registry.Report() && flat;
  }
  const std::string digest = sent.FinishHex();
  if (!name.ends_with(digest)) Die("the blob is called " + name + ", not after its SHA-256");
  {
    const Growth of_gateway("gateway", gateway.pid());
    const Growth of_registry("registry", registry->pid());
    const absl::Duration start = clock.Monotonic();
    Connection connection(gateway.port());
    // HTTP/1.0: a body without chunks, up to the connection's end.
    connection.Send(fmt::format(
        "GET /api/v1/{}:download HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n", name, key));
    Sha256 received;
    int64_t count = 0;
    std::string head;
    for (std::string_view got = connection.Receive(); !got.empty(); got = connection.Receive()) {
      if (count == 0) {
        head += got;
        const size_t end = head.find("\r\n\r\n");
        if (end == std::string::npos) continue;
        received.Update(std::string_view(head).substr(end + 4));
        count += static_cast<int64_t>(head.size() - end - 4);
        continue;
      }
      received.Update(got);
      count += static_cast<int64_t>(got.size());
    }
    std::printf("download: %.1f GB in %.1f s\n", Gigabytes(count),
                absl::ToDoubleSeconds(clock.Monotonic() - start));
    flat = of_gateway.Report() && flat;
    flat = of_registry.Report() && flat;
    if (count != bytes || received.FinishHex() != digest) {
      Die(fmt::format("what came back is not what was sent: {} bytes; {}", count,
                      head.substr(0, 300)));
    }
  }
  registry->Signal(SIGTERM).IgnoreError();
  if (!registry->Wait(absl::Seconds(30)).ok()) registry->Kill();
  std::printf("%s\n", flat ? "memory is flat" : "memory is NOT flat: the limit is 64 MB");
  return flat ? 0 : 1;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  const double gigabytes = argc > 1 ? std::atof(argv[1]) : 2;
  return slipway::Main(static_cast<int64_t>(gigabytes * 1024) << 20);
}
