#include "tests/bench/serving/load.h"

#include <arpa/inet.h>
#include <grpcpp/grpcpp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>

#include "common/grpc/client.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"

namespace slipway {
namespace {

const Clock& clock_now = Clock::Real();

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "load: %s\n", what.c_str());
  std::exit(1);
}

LoadResult Summarize(std::vector<double>& latencies, int64_t failures, absl::Duration time) {
  LoadResult result;
  result.calls = static_cast<int64_t>(latencies.size());
  result.failures = failures;
  result.time = time;
  if (latencies.empty()) return result;
  std::sort(latencies.begin(), latencies.end());
  result.p50_us = latencies[latencies.size() / 2];
  result.p99_us = latencies[latencies.size() * 99 / 100];
  return result;
}

}  // namespace

// What all callers of one Run() look at.
struct GrpcLoad::Shared {
  std::atomic<bool> measuring = false;
  std::atomic<bool> stopping = false;
  Mutex mutex;
  CondVar ended;
  int running GUARDED_BY(mutex) = 0;
};

// One caller: starts its next call from the callback of its last.
struct GrpcLoad::Caller {
  GrpcLoad& load;
  Shared& shared;
  std::unique_ptr<grpc::ClientContext> context;
  inference::ModelInferResponse infer_response;
  inference::ServerLiveRequest live_request;
  inference::ServerLiveResponse live_response;
  absl::Duration started;
  bool measured = false;
  std::vector<double> latencies;
  int64_t failures = 0;

  void Start() {
    context = std::make_unique<grpc::ClientContext>();
    measured = shared.measuring;
    started = clock_now.Monotonic();
    const auto done = [this](const grpc::Status& status) { Done(status); };
    if (load.request_ == nullptr) {
      load.stub_->async()->ServerLive(context.get(), &live_request, &live_response, done);
      return;
    }
    PrepareContext(*context, {.token = load.token_,
                              .request_id = "4c0b6f0a4a3f4f6c9d2d7f1f0c8e1b57",
                              .deadline = clock_now.Now() + absl::Seconds(30)});
    infer_response.Clear();
    load.stub_->async()->ModelInfer(context.get(), load.request_, &infer_response, done);
  }

  void Done(const grpc::Status& status) {
    if (measured && shared.measuring) {
      latencies.push_back(absl::ToDoubleMicroseconds(clock_now.Monotonic() - started));
    }
    if (!status.ok()) ++failures;
    if (!shared.stopping) {
      Start();
      return;
    }
    MutexLock lock(shared.mutex);
    --shared.running;
    shared.ended.SignalAll();
  }
};

GrpcLoad::GrpcLoad(const std::string& address, const inference::ModelInferRequest* request,
                   std::string token)
    : GrpcLoad(*OpenChannel({.address = address, .tls = {}}), request, std::move(token)) {}

GrpcLoad::GrpcLoad(const std::shared_ptr<grpc::Channel>& channel,
                   const inference::ModelInferRequest* request, std::string token)
    : request_(request),
      token_(std::move(token)),
      stub_(inference::GRPCInferenceService::NewStub(channel)) {}

GrpcLoad::~GrpcLoad() = default;

LoadResult GrpcLoad::Run(int callers, absl::Duration warm_up, absl::Duration time,
                         const std::function<void()>& on_start,
                         const std::function<void()>& on_end) {
  Shared shared;
  {
    MutexLock lock(shared.mutex);
    shared.running = callers;
  }
  std::vector<std::unique_ptr<Caller>> all;
  for (int i = 0; i < callers; ++i) {
    all.push_back(
        std::unique_ptr<Caller>(new Caller{*this, shared, {}, {}, {}, {}, {}, false, {}, 0}));
    all.back()->latencies.reserve(1 << 16);
    all.back()->Start();
  }
  clock_now.SleepFor(warm_up);
  on_start();
  const absl::Duration start = clock_now.Monotonic();
  shared.measuring = true;
  clock_now.SleepFor(time);
  shared.measuring = false;
  const absl::Duration measured = clock_now.Monotonic() - start;
  on_end();
  shared.stopping = true;
  {
    MutexLock lock(shared.mutex);
    while (shared.running > 0) shared.ended.Wait(shared.mutex);
  }
  std::vector<double> latencies;
  int64_t failures = 0;
  for (const auto& caller : all) {
    latencies.insert(latencies.end(), caller->latencies.begin(), caller->latencies.end());
    failures += caller->failures;
  }
  return Summarize(latencies, failures, measured);
}

// What all calls of one RunOpen() look at.
struct GrpcLoad::OpenShared {
  Mutex mutex;
  CondVar ended;
  int running GUARDED_BY(mutex) = 0;
  OpenLoadResult result GUARDED_BY(mutex);
  std::vector<double> latencies GUARDED_BY(mutex);
};

// One call, which deletes itself.
struct GrpcLoad::OpenCall {
  OpenShared& shared;
  absl::Duration deadline;
  bool measured;
  grpc::ClientContext context;
  inference::ModelInferResponse response;
  absl::Duration started;

  OpenCall(OpenShared& all, absl::Duration time, bool counts)
      : shared(all), deadline(time), measured(counts) {}

  void Start(GrpcLoad& load) {
    started = clock_now.Monotonic();
    PrepareContext(context, {.token = load.token_,
                             .request_id = "4c0b6f0a4a3f4f6c9d2d7f1f0c8e1b57",
                             .deadline = clock_now.Now() + deadline});
    load.stub_->async()->ModelInfer(&context, load.request_, &response,
                                    [this](const grpc::Status& status) { Done(status); });
  }

  void Done(const grpc::Status& status) {
    const absl::Duration took = clock_now.Monotonic() - started;
    {
      MutexLock lock(shared.mutex);
      if (measured) {
        ++shared.result.sent;
        if (status.ok() && took <= deadline) {
          ++shared.result.in_time;
          shared.latencies.push_back(absl::ToDoubleMicroseconds(took));
        } else if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
          ++shared.result.refused;
        } else {
          ++shared.result.late;
        }
      }
      if (--shared.running == 0) shared.ended.SignalAll();
    }
    delete this;
  }
};

OpenLoadResult GrpcLoad::RunOpen(double rate, absl::Duration deadline, absl::Duration warm_up,
                                 absl::Duration time) {
  OpenShared shared;
  std::mt19937_64 random(1);
  std::exponential_distribution<double> pause(rate);
  const absl::Duration begin = clock_now.Monotonic() + warm_up;
  const absl::Duration end = begin + time;
  absl::Duration next = clock_now.Monotonic();
  while (next < end) {
    const absl::Duration now = clock_now.Monotonic();
    if (next > now) clock_now.SleepFor(next - now);
    {
      MutexLock lock(shared.mutex);
      ++shared.running;
    }
    (new OpenCall(shared, deadline, next >= begin))->Start(*this);
    next += absl::Seconds(pause(random));
  }
  MutexLock lock(shared.mutex);
  while (shared.running > 0) shared.ended.Wait(shared.mutex);
  OpenLoadResult result = shared.result;
  result.time = time;
  result.p99_us = Summarize(shared.latencies, 0, time).p99_us;
  return result;
}

inference::ModelInferResponse GrpcLoad::CallOnce() {
  grpc::ClientContext context;
  PrepareContext(context, {.token = token_, .wait_for_ready = true});
  inference::ModelInferResponse response;
  const grpc::Status status = stub_->ModelInfer(&context, *request_, &response);
  if (!status.ok()) Die("ModelInfer: " + status.error_message());
  return response;
}

namespace {

int Connect(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    Die(std::string("cannot connect to the gateway: ") + std::strerror(errno));
  }
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

// True once `answer` holds a whole HTTP/1.1 answer with a Content-Length.
bool IsWhole(const std::string& answer) {
  const size_t end = answer.find("\r\n\r\n");
  if (end == std::string::npos) return false;
  std::string head = answer.substr(0, end);
  std::transform(head.begin(), head.end(), head.begin(), ::tolower);
  const size_t at = head.find("\r\ncontent-length:");
  if (at == std::string::npos) Die("an answer without Content-Length: " + head);
  size_t length = 0;
  const char* begin = head.c_str() + at + std::strlen("\r\ncontent-length:");
  while (*begin == ' ') ++begin;
  std::from_chars(begin, head.c_str() + head.size(), length);
  return answer.size() >= end + 4 + length;
}

struct Connection {
  int fd = -1;
  std::string answer;
  absl::Duration started;
  bool measured = false;
};

// False where the peer has hung up.
bool Send(Connection& connection, const std::string& request, bool measured) {
  connection.answer.clear();
  connection.measured = measured;
  connection.started = clock_now.Monotonic();
  return ::send(connection.fd, request.data(), request.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(request.size());
}

}  // namespace

LoadResult RunHttpLoad(int port, const std::string& request, int callers, absl::Duration warm_up,
                       absl::Duration time, const std::function<void()>& on_start,
                       const std::function<void()>& on_end) {
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Connection> connections(static_cast<size_t>(callers));
  for (size_t i = 0; i < connections.size(); ++i) {
    connections[i].fd = Connect(port);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
    ::epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].fd, &event);
    if (!Send(connections[i], request, false)) Die("the gateway hung up");
  }
  std::vector<double> latencies;
  latencies.reserve(1 << 18);
  int64_t failures = 0;
  const absl::Duration begin = clock_now.Monotonic() + warm_up;
  const absl::Duration end = begin + time;
  bool measuring = false;
  for (;;) {
    const absl::Duration now = clock_now.Monotonic();
    if (!measuring && now >= begin) {
      measuring = true;
      on_start();
    }
    if (now >= end) break;
    epoll_event events[64];
    const int ready = ::epoll_wait(poll, events, 64, 100);
    for (int i = 0; i < ready; ++i) {
      Connection& connection = connections[events[i].data.u64];
      char bytes[16384];
      const ssize_t got = ::recv(connection.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
      if (got == 0) Die("the gateway hung up");
      if (got > 0) connection.answer.append(bytes, static_cast<size_t>(got));
      if (!IsWhole(connection.answer)) continue;
      if (connection.measured) {
        latencies.push_back(absl::ToDoubleMicroseconds(clock_now.Monotonic() - connection.started));
      }
      if (!connection.answer.starts_with("HTTP/1.1 200")) ++failures;
      if (!Send(connection, request, measuring)) Die("the gateway hung up");
    }
  }
  on_end();
  const absl::Duration measured = clock_now.Monotonic() - begin;
  for (const Connection& connection : connections) ::close(connection.fd);
  ::close(poll);
  return Summarize(latencies, failures, measured);
}

std::vector<HttpFlowResult> RunHttpFlows(int port, const std::vector<HttpFlow>& flows, int count,
                                         absl::Duration time) {
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<Connection> connections(static_cast<size_t>(count));
  std::vector<size_t> flow_of(connections.size());
  std::vector<size_t> idle;
  std::vector<bool> calling(connections.size());
  const auto open = [&](size_t place) {
    connections[place].fd = Connect(port);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = place}};
    ::epoll_ctl(poll, EPOLL_CTL_ADD, connections[place].fd, &event);
  };
  for (size_t i = 0; i < connections.size(); ++i) {
    open(i);
    idle.push_back(i);
  }
  const auto reopen = [&](size_t place) {
    ::close(connections[place].fd);
    open(place);
  };
  // What waited to be sent waited for its answer.
  const auto send = [&](size_t place, absl::Duration since) {
    const std::string& request = flows[flow_of[place]].request;
    if (!Send(connections[place], request, true)) {
      reopen(place);
      if (!Send(connections[place], request, true)) Die("the gateway hung up");
    }
    connections[place].started = since;
  };
  std::vector<HttpFlowResult> results(flows.size());
  std::mt19937_64 random(1);
  const absl::Duration begin = clock_now.Monotonic();
  const absl::Duration end = begin + time;
  std::vector<absl::Duration> next(flows.size());
  const auto pause = [&](size_t flow) {
    return absl::Seconds(std::exponential_distribution<double>(flows[flow].rate)(random));
  };
  for (size_t i = 0; i < flows.size(); ++i) next[i] = begin + pause(i);
  for (;;) {
    const absl::Duration now = clock_now.Monotonic();
    for (size_t flow = 0; flow < flows.size(); ++flow) {
      // A call that finds no connection waits for one, which counts as its time.
      for (; next[flow] <= now && next[flow] < end && !idle.empty(); next[flow] += pause(flow)) {
        // The one that was used last: those that are not needed stay cold.
        const size_t place = idle.back();
        idle.pop_back();
        flow_of[place] = flow;
        calling[place] = true;
        ++results[flow].sent;
        send(place, next[flow]);
      }
    }
    const bool all_sent =
        std::all_of(next.begin(), next.end(), [&](absl::Duration at) { return at >= end; });
    if (all_sent && idle.size() == connections.size()) break;
    epoll_event events[64];
    const int ready = ::epoll_wait(poll, events, 64, all_sent ? 10 : 0);
    for (int i = 0; i < ready; ++i) {
      const size_t place = events[i].data.u64;
      Connection& connection = connections[place];
      char bytes[16384];
      const ssize_t got = ::recv(connection.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
      if (got <= 0 && !(got < 0 && errno == EAGAIN)) {
        if (!connection.answer.empty()) Die("the gateway hung up");
        // It was idle for too long, maybe as the next call came.
        reopen(place);
        if (calling[place]) send(place, connection.started);
        continue;
      }
      if (got > 0) connection.answer.append(bytes, static_cast<size_t>(got));
      if (!IsWhole(connection.answer)) continue;
      HttpFlowResult& result = results[flow_of[place]];
      const absl::Duration at = clock_now.Monotonic();
      const HttpFlowResult::Answer answer{at - begin, at - connection.started};
      if (connection.answer.starts_with("HTTP/1.1 200")) {
        result.answered.push_back(answer);
      } else if (connection.answer.starts_with("HTTP/1.1 503")) {
        result.refused.push_back(answer);
      } else {
        ++result.failed;
      }
      connection.answer.clear();
      calling[place] = false;
      idle.push_back(place);
    }
  }
  for (const Connection& connection : connections) ::close(connection.fd);
  ::close(poll);
  return results;
}

double QuantileMillis(const std::vector<HttpFlowResult::Answer>& answers, double quantile) {
  if (answers.empty()) return 0;
  std::vector<absl::Duration> took;
  for (const auto& answer : answers) took.push_back(answer.took);
  const auto place =
      took.begin() + static_cast<ptrdiff_t>(quantile * static_cast<double>(took.size() - 1));
  std::nth_element(took.begin(), place, took.end());
  return absl::ToDoubleMilliseconds(*place);
}

std::string HttpCallOnce(int port, const std::string& request) {
  Connection connection;
  connection.fd = Connect(port);
  Send(connection, request, false);
  for (;;) {
    char bytes[16384];
    const ssize_t got = ::recv(connection.fd, bytes, sizeof(bytes), 0);
    if (got <= 0) break;
    connection.answer.append(bytes, static_cast<size_t>(got));
    if (IsWhole(connection.answer)) break;
  }
  ::close(connection.fd);
  return connection.answer;
}

}  // namespace slipway
