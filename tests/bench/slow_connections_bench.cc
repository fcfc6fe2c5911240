// Connections that are slow, half open or hostile, against a gateway with its default limits, while
// others call it: when each is closed, what the others notice, and what memory it takes. The
// gateway is on the first core; hostile and other callers share the rest.
//
//   slow_connections_bench [connections, default 2000] [seconds, default 30]

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "common/time/clock.h"
#include "tests/bench/bench.h"
#include "tests/bench/serving/gateway_under_test.h"
#include "tests/bench/serving/load.h"
#include "tests/integration/http/http2_peer.h"

namespace slipway {
namespace {

using http::Headers;
using http::Http2Peer;

constexpr int kCallers = 4;
constexpr int kAddresses = 8;  // of the hostile ones, each below the limit of one address
constexpr absl::Duration kWarmUp = absl::Seconds(1);
constexpr absl::Duration kBefore = absl::Seconds(10);
constexpr absl::Duration kFlood = absl::Seconds(5);
constexpr uint64_t kMaxGrowth = 64 << 20;

// A kind of connection: what it says at once, then each second, and whether it takes what comes.
struct Kind {
  const char* name;
  std::string begin;
  std::string drip;
  bool reads = true;
};

std::string Block(std::string_view method, std::string_view path) {
  Headers fields = {{":method", method}, {":scheme", "http"}, {":authority", "x"}, {":path", path}};
  return Http2Peer::Block(fields);
}

std::string Preface() {
  return std::string(Http2Peer::kPreface) + Http2Peer::Make(Http2Peer::kSettings, 0, 0, "");
}

std::vector<Kind> SlowKinds(const std::string& key) {
  const std::string authorization = "Authorization: Bearer " + key + "\r\n";
  const std::string post = "POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\n" + authorization +
                           "Content-Length: 1000\r\n";
  std::string unread;
  for (int i = 0; i < 100; ++i) unread += "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n";
  Headers infer = Http2Peer::Post("/v2/models/m/infer");
  infer.Add("authorization", "Bearer " + key);
  // The peer lets nothing be sent to it.
  const std::string closed_window =
      std::string(Http2Peer::kPreface) +
      Http2Peer::Make(Http2Peer::kSettings, 0, 0, std::string("\0\4\0\0\0\0", 6));
  return {
      {"says nothing", "", ""},
      {"HTTP/1.1: half a header", "GET / HTTP/1.1\r\nX: ", ""},
      {"HTTP/1.1: a header byte by byte", "GET / HTTP/1.1\r\nX: ", "x"},
      {"HTTP/1.1: half a body", post + "\r\n{", ""},
      {"HTTP/1.1: a body byte by byte", post + "\r\n{", " "},
      {"HTTP/1.1: does not read", unread, "", false},
      {"HTTP/2: half a preface", std::string(Http2Peer::kPreface.substr(0, 10)), ""},
      {"HTTP/2: no request", Preface(), ""},
      {"HTTP/2: no request, but pings", Preface(),
       Http2Peer::Make(Http2Peer::kPing, 0, 0, "12345678")},
      {"HTTP/2: half a header", Preface() + Http2Peer::Make(Http2Peer::kHeaders, 0, 1, "\x82"), ""},
      {"HTTP/2: a body byte by byte",
       Preface() +
           Http2Peer::Make(Http2Peer::kHeaders, Http2Peer::kEndHeaders, 1, Http2Peer::Block(infer)),
       Http2Peer::Make(Http2Peer::kData, 0, 1, "x")},
      {"HTTP/2: a window of nothing",
       closed_window + Http2Peer::Request(1, Http2Peer::Get("/openapi.json")), ""},
  };
}

// Sent again and again, with numbers of streams that rise.
struct Flood {
  const char* name;
  std::string begin;
  std::string (*next)(uint32_t stream);
};

std::vector<Flood> Floods() {
  return {
      {"rapid reset", Preface(),
       [](uint32_t stream) {
         return Http2Peer::Request(stream, Http2Peer::Get("/")) +
                Http2Peer::Make(Http2Peer::kReset, 0, stream, Http2Peer::Number(8));
       }},
      {"CONTINUATION flood",
       Preface() + Http2Peer::Make(Http2Peer::kHeaders, 0, 1, Block("GET", "/")),
       [](uint32_t) {
         return Http2Peer::Make(Http2Peer::kContinuation, 0, 1,
                                Http2Peer::Block({{"x", std::string(100, 'x')}}));
       }},
      {"unfinished header", "GET / HTTP/1.1\r\nHost: x\r\n",
       [](uint32_t stream) { return "X-" + std::to_string(stream) + ": x\r\n"; }},
  };
}

int Connect(int port, int number) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + static_cast<uint32_t>(number % kAddresses));
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<uint16_t>(port));
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  if (::bind(socket, reinterpret_cast<sockaddr*>(&own), sizeof(own)) != 0 ||
      ::connect(socket, reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  return socket;
}

uint64_t ResidentBytes(int64_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/statm");
  uint64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
}

double Megabytes(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

const char* Verdict(bool met) { return met ? "met" : "MISSED"; }

struct Connection {
  int socket;
  size_t kind;
  absl::Duration opened;
  absl::Duration lasted = absl::ZeroDuration();  // zero: it is open
};

// Whether the server has closed it; takes what came where the kind reads.
bool IsClosed(const pollfd& found, bool reads) {
  if ((found.revents & (POLLHUP | POLLERR | POLLRDHUP)) != 0) return true;
  if ((found.revents & POLLIN) == 0 || !reads) return false;
  char bytes[16 << 10];
  return ::recv(found.fd, bytes, sizeof(bytes), MSG_DONTWAIT) == 0;
}

class Bench {
 public:
  Bench(const GatewayUnderTest& gateway, int connections, absl::Duration time)
      : gateway_(gateway),
        connections_(connections),
        time_(time),
        request_(gateway.InferRequest("m", GatewayUnderTest::InferBody({1, 2}, {1.5f, 2.0f}))) {}

  bool Run() {
    const LoadResult before = Load(kBefore);
    const uint64_t resident = ResidentBytes(gateway_.pid());
    std::printf("%d callers alone: p50 %.0f us, p99 %.0f us; the gateway has %.1f MB\n\n", kCallers,
                before.p50_us, before.p99_us, Megabytes(resident));
    const bool slow = RunSlow(before, resident);
    bool flooded = true;
    for (const Flood& flood : Floods()) flooded = RunFlood(flood) && flooded;
    return slow && flooded;
  }

 private:
  LoadResult Load(absl::Duration time) const {
    return RunHttpLoad(
        gateway_.port(), request_, kCallers, kWarmUp, time, [] {}, [] {});
  }

  bool RunSlow(const LoadResult& before, uint64_t resident) {
    const std::vector<Kind> kinds = SlowKinds(gateway_.key());
    std::vector<Connection> all;
    for (int i = 0; i < connections_; ++i) {
      const Kind& kind = kinds[static_cast<size_t>(i) % kinds.size()];
      all.push_back(
          {Connect(gateway_.port(), i), static_cast<size_t>(i) % kinds.size(), clock_.Monotonic()});
      ::send(all.back().socket, kind.begin.data(), kind.begin.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    LoadResult during;
    std::jthread callers([&] { during = Load(time_ - kWarmUp); });
    uint64_t peak = 0;
    const absl::Duration end = clock_.Monotonic() + time_;
    absl::Duration drip = clock_.Monotonic();
    while (clock_.Monotonic() < end) {
      const bool dripping = clock_.Monotonic() >= drip;
      if (dripping) drip += absl::Seconds(1);
      Look(kinds, dripping, all);
      peak = std::max(peak, ResidentBytes(gateway_.pid()));
      clock_.SleepFor(absl::Milliseconds(50));
    }
    callers.join();
    std::map<size_t, std::pair<int, absl::Duration>> by_kind;  // open, the longest
    int open = 0;
    for (const Connection& connection : all) {
      auto& [left, longest] = by_kind[connection.kind];
      if (connection.lasted == absl::ZeroDuration()) {
        ++left;
        ++open;
        ::close(connection.socket);
      }
      longest = std::max(longest, connection.lasted);
    }
    std::printf("%-34s %12s %12s\n", "each of many", "longest s", "still open");
    for (const auto& [kind, result] : by_kind) {
      std::printf("%-34s %12.1f %12d\n", kinds[kind].name, absl::ToDoubleSeconds(result.second),
                  result.first);
    }
    const double ratio = during.p99_us / before.p99_us;
    const uint64_t growth = peak > resident ? peak - resident : 0;
    std::printf("\n%d connections for %.0f s: %d left open, target 0, %s\n", connections_,
                absl::ToDoubleSeconds(time_), open, Verdict(open == 0));
    std::printf(
        "other callers: p99 %.0f us, %.2f of that alone, target < 2, %s; %ld of %ld failed\n",
        during.p99_us, ratio, Verdict(ratio < 2 && during.failures == 0),
        static_cast<long>(during.failures), static_cast<long>(during.calls));
    std::printf("memory: + %.1f MB at most, target < 64, %s\n\n", Megabytes(growth),
                Verdict(growth < kMaxGrowth));
    return open == 0 && ratio < 2 && during.failures == 0 && growth < kMaxGrowth;
  }

  void Look(const std::vector<Kind>& kinds, bool dripping, std::vector<Connection>& all) const {
    std::vector<pollfd> polled;
    std::vector<Connection*> open;
    for (Connection& connection : all) {
      if (connection.lasted > absl::ZeroDuration()) continue;
      const Kind& kind = kinds[connection.kind];
      if (dripping && !kind.drip.empty()) {
        ::send(connection.socket, kind.drip.data(), kind.drip.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      }
      polled.push_back({connection.socket, POLLIN | POLLRDHUP, 0});
      open.push_back(&connection);
    }
    ::poll(polled.data(), polled.size(), 0);
    for (size_t i = 0; i < open.size(); ++i) {
      if (!IsClosed(polled[i], kinds[open[i]->kind].reads)) continue;
      open[i]->lasted = clock_.Monotonic() - open[i]->opened;
      ::close(open[i]->socket);
    }
  }

  // One connection that sends as fast as it is read, until it is closed or its time is over.
  bool RunFlood(const Flood& flood) const {
    const uint64_t resident = ResidentBytes(gateway_.pid());
    uint64_t peak = resident;
    const int socket = Connect(gateway_.port(), 0);
    const absl::Duration start = clock_.Monotonic();
    uint64_t sent = 0;
    std::string bytes = flood.begin;
    bool closed = false;
    for (uint32_t stream = 1; !closed && clock_.Monotonic() - start < kFlood; stream += 2) {
      bytes += flood.next(stream);
      pollfd ready = {socket, POLLIN | POLLOUT | POLLRDHUP, 0};
      ::poll(&ready, 1, 10);
      closed = IsClosed(ready, /*reads=*/true);
      const ssize_t count = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (count > 0) {
        sent += static_cast<uint64_t>(count);
        bytes.erase(0, static_cast<size_t>(count));
      }
      if (stream % 64 == 1) peak = std::max(peak, ResidentBytes(gateway_.pid()));
    }
    const double seconds = absl::ToDoubleSeconds(clock_.Monotonic() - start);
    ::close(socket);
    peak = std::max(peak, ResidentBytes(gateway_.pid()));
    const bool met = closed && peak - resident < kMaxGrowth;
    std::printf("%s: %s after %.2f s and %.1f KB, memory + %.1f MB, %s\n", flood.name,
                closed ? "closed" : "open", seconds, static_cast<double>(sent) / 1024,
                Megabytes(peak - resident), Verdict(met));
    return met;
  }

  const Clock& clock_ = Clock::Real();
  const GatewayUnderTest& gateway_;
  const int connections_;
  const absl::Duration time_;
  const std::string request_;
};

int Main(int connections, double seconds) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  LocalProcessLauncher launcher;
  const TestTrust trust;
  const TempDir folder;
  gateway::FakeWorker worker(trust, folder / "worker.sock");
  const GatewayUnderTest gateway(launcher, trust, worker.address(), {"m"});
  return Bench(gateway, connections, absl::Seconds(seconds)).Run() ? 0 : 1;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  if (const absl::Status begun = slipway::BeginBench("slow_connections_bench"); !begun.ok()) {
    std::fprintf(stderr, "%s\n", begun.ToString().c_str());
    return 1;
  }
  const int connections = argc > 1 ? std::atoi(argv[1]) : 2000;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 30;
  return slipway::Main(connections, seconds);
}
