// The listener's CPU time a request, by closed-loop callers on loopback: the server in a process
// of its own on the first core, the callers on the second. The floor beside it is a bare epoll
// loop that answers the same bytes to whatever comes.
//
//   http_bench [seconds a row, default 3]

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "common/http/server/server.h"
#include "common/time/clock.h"

namespace slipway::http {
namespace {

// Answers at once with a small JSON body, after reading the request's.
class SmallHandler final : public Handler {
 public:
  void Handle(std::shared_ptr<Exchange> exchange) override {
    Exchange& asked = *exchange;
    asked.ReadBody(1 << 20, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      if (!body.ok()) return;
      exchange->Respond({.headers = {{"content-type", "application/json"}},
                         .body = R"({"outputs":[{"data":[0.1,0.9]}]})"});
    });
  }
};

void PinTo(int core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  ::sched_setaffinity(0, sizeof(cores), &cores);  // on one core it stays where it is
}

void Tell(int ready, int port) {
  if (::write(ready, &port, sizeof(port)) != sizeof(port)) std::_Exit(1);
}

// Both serve until the pipe at `stop` closes and tell their port through `ready`.
using ServerProcess = void (*)(int ready, int stop);

void RunListener(int ready, int stop) {
  SmallHandler handler;
  ServerOptions options;
  options.threads = 1;
  auto server = Server::Start(options, handler);
  if (!server.ok()) std::_Exit(1);
  Tell(ready, (*server)->port());
  char byte;
  while (::read(stop, &byte, 1) > 0) {
  }
  std::_Exit(0);
}

void RunFloor(int ready, int stop) {
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(name);
  if (::bind(listener, reinterpret_cast<sockaddr*>(&name), size) != 0 ||
      ::listen(listener, 64) != 0 ||
      ::getsockname(listener, reinterpret_cast<sockaddr*>(&name), &size) != 0) {
    std::_Exit(1);
  }
  const int poll = ::epoll_create1(0);
  const auto watch = [poll](int descriptor) {
    epoll_event event = {.events = EPOLLIN, .data = {.fd = descriptor}};
    ::epoll_ctl(poll, EPOLL_CTL_ADD, descriptor, &event);
  };
  watch(listener);
  watch(stop);
  Tell(ready, ntohs(name.sin_port));
  const std::string answer =
      "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
      "x-request-id: 00000000000000000000000000000000\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
      "Content-Length: 32\r\n\r\n"
      R"({"outputs":[{"data":[0.1,0.9]}]})";
  char request[4096];
  for (;;) {
    epoll_event events[64];
    const int count = ::epoll_wait(poll, events, 64, -1);
    for (int i = 0; i < count; ++i) {
      const int descriptor = events[i].data.fd;
      if (descriptor == stop) std::_Exit(0);
      if (descriptor == listener) {
        const int accepted = ::accept(listener, nullptr, nullptr);
        const int on = 1;
        ::setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        watch(accepted);
      } else if (::recv(descriptor, request, sizeof(request), 0) <= 0 ||
                 ::send(descriptor, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) {
        ::close(descriptor);
      }
    }
  }
}

int ConnectTo(int port) {
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<uint16_t>(port));
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(socket, reinterpret_cast<sockaddr*>(&name), sizeof(name)) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return socket;
}

struct Row {
  double requests_a_second;
  double cpu_us;
  double p50_us;
  double p99_us;
};

double Micros(const timeval& time) { return time.tv_sec * 1e6 + time.tv_usec; }

Row Measure(ServerProcess process, int callers, const std::string& request, absl::Duration time) {
  int ready[2], stop[2];
  if (::pipe(ready) != 0 || ::pipe(stop) != 0) std::exit(1);
  const pid_t server = ::fork();
  if (server == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close(stop[1]);
    PinTo(0);
    process(ready[1], stop[0]);
  }
  ::close(stop[0]);
  int port = 0;
  if (::read(ready[0], &port, sizeof(port)) != sizeof(port)) std::exit(1);
  PinTo(1);

  const Clock& clock = Clock::Real();
  std::vector<pollfd> sockets;
  for (int i = 0; i < callers; ++i) sockets.push_back({ConnectTo(port), POLLIN, 0});
  std::vector<absl::Duration> sent(sockets.size());
  std::vector<double> latencies;
  const auto send = [&](size_t i) {
    sent[i] = clock.Monotonic();
    if (::send(sockets[i].fd, request.data(), request.size(), MSG_NOSIGNAL) < 0) std::exit(1);
  };
  for (size_t i = 0; i < sockets.size(); ++i) send(i);
  const absl::Duration start = clock.Monotonic();
  char answer[4096];
  while (clock.Monotonic() - start < time) {
    ::poll(sockets.data(), sockets.size(), -1);
    for (size_t i = 0; i < sockets.size(); ++i) {
      if ((sockets[i].revents & POLLIN) == 0) continue;
      if (::recv(sockets[i].fd, answer, sizeof(answer), 0) < 12 ||
          std::string_view(answer, 12) != "HTTP/1.1 200") {
        std::fputs("the answer was not 200\n", stderr);
        std::exit(1);
      }
      latencies.push_back(absl::ToDoubleMicroseconds(clock.Monotonic() - sent[i]));
      send(i);
    }
  }
  const double seconds = absl::ToDoubleSeconds(clock.Monotonic() - start);
  for (const pollfd& socket : sockets) ::close(socket.fd);
  ::close(stop[1]);
  rusage usage{};
  int status = 0;
  ::wait4(server, &status, 0, &usage);
  std::sort(latencies.begin(), latencies.end());
  const double count = static_cast<double>(latencies.size());
  return {.requests_a_second = count / seconds,
          .cpu_us = (Micros(usage.ru_utime) + Micros(usage.ru_stime)) / count,
          .p50_us = latencies[latencies.size() / 2],
          .p99_us = latencies[latencies.size() * 99 / 100]};
}

}  // namespace

int Main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 3;
  const std::string get = "GET /v2/health/live HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";
  const std::string body(600, '1');
  const std::string post =
      "POST /v2/models/m/infer HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
      "User-Agent: python-requests/2.31.0\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
      "Connection: keep-alive\r\nAuthorization: Bearer slw_0123456789abcdef0123456789abcdef\r\n"
      "Content-Type: application/json\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  std::printf("%-26s %8s %12s %14s %9s %9s %10s\n", "request", "callers", "requests/s",
              "server CPU us", "p50 us", "p99 us", "floor us");
  for (const auto& [name, request] : {std::pair<const char*, std::string>("GET, 1 field", get),
                                      {"POST 600 bytes, 7 fields", post}}) {
    for (const int callers : {1, 4, 32}) {
      const Row floor = Measure(RunFloor, callers, request, absl::Seconds(seconds));
      const Row row = Measure(RunListener, callers, request, absl::Seconds(seconds));
      std::printf("%-26s %8d %12.0f %14.1f %9.1f %9.1f %10.1f\n", name, callers,
                  row.requests_a_second, row.cpu_us, row.p50_us, row.p99_us, floor.cpu_us);
      std::fflush(stdout);
    }
  }
  return 0;
}

}  // namespace slipway::http

int main(int argc, char** argv) { return slipway::http::Main(argc, argv); }
