// An empty gRPC call at the listener's HTTP/2 door beside the same call at grpc++'s servers, by
// grpc++'s client: closed loops of 1, 4 and 32 callers on one channel. The servers run on one core,
// the callers on the other; a server's CPU time is /proc's user and system time. Interleaved
// rounds, medians, and the ratio of each round.
//
//   grpc_door_bench [seconds a measurement, default 1] [rounds, default 7]

#include <grpcpp/grpcpp.h>
#include <sys/prctl.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/http/server/server.h"
#include "common/process/local_process_launcher.h"
#include "common/process/shutdown.h"
#include "inference/open_inference.grpc.pb.h"
#include "tests/bench/bench.h"
#include "tests/bench/serving/load.h"
#include "tests/bench/serving/server_process.h"
#include "tests/support/temp_dir.h"

namespace slipway {
namespace {

using Service = inference::GRPCInferenceService;

// The most that the door's CPU time may be, as a share of the better of grpc++'s.
constexpr double kTarget = 1.0;

// ServerLive, answered with an empty message by HTTP alone.
class EmptyDoor final : public http::Handler {
 public:
  void Handle(std::shared_ptr<http::Exchange> exchange) override {
    http::Exchange& asked = *exchange;
    asked.ReadBody(1 << 20, [exchange = std::move(exchange)](absl::StatusOr<std::string> body) {
      if (!body.ok()) return;
      exchange->Respond({.headers = {{"content-type", "application/grpc"}},
                         .body = std::string(5, '\0'),
                         .trailers = {{"grpc-status", "0"}}});
    });
  }
};

int RunDoor(const std::string& socket) {
  ShutdownSignal shutdown;
  EmptyDoor door;
  http::ServerOptions options;
  options.address = "unix:" + socket;
  const auto server = http::Server::Start(options, door);
  if (!server.ok()) {
    std::fprintf(stderr, "%s\n", server.status().ToString().c_str());
    return 1;
  }
  shutdown.Wait();
  return 0;
}

// grpc++ as it takes the least: one completion queue and one thread.
int RunQueueServer(const std::string& socket) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  Service::WithAsyncMethod_ServerLive<Service::Service> service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::ServerCompletionQueue> queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  struct Call {
    grpc::ServerContext context;
    inference::ServerLiveRequest request;
    grpc::ServerAsyncResponseWriter<inference::ServerLiveResponse> writer{&context};
    bool answered = false;
  };
  const auto next = [&] {
    Call* const call = new Call;
    service.RequestServerLive(&call->context, &call->request, &call->writer, queue.get(),
                              queue.get(), call);
  };
  for (int i = 0; i < 64; ++i) next();
  void* tag = nullptr;
  bool ok = false;
  while (queue->Next(&tag, &ok)) {
    Call* const call = static_cast<Call*>(tag);
    if (!ok || call->answered) {
      delete call;
      continue;
    }
    call->answered = true;
    call->writer.Finish({}, grpc::Status::OK, call);
    next();
  }
  return 0;
}

// grpc++ as the platform's services use it.
int RunCallbackServer(const std::string& socket) {
  class Empty final : public Service::CallbackService {
   public:
    grpc::ServerUnaryReactor* ServerLive(grpc::CallbackServerContext* context,
                                         const inference::ServerLiveRequest*,
                                         inference::ServerLiveResponse*) override {
      grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
  };
  ShutdownSignal shutdown;
  Empty service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("unix:" + socket, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  shutdown.Wait();
  return 0;
}

struct Row {
  std::vector<double> cpu_us, calls_a_second, p50_us, p99_us;
};

struct Subject {
  Subject(ProcessLauncher& launcher, const std::string& self, std::string mode_in,
          const TempDir& dir)
      : mode(std::move(mode_in)),
        socket(dir / mode),
        process(launcher, self, {mode, socket}),
        load("unix:" + socket, nullptr, "") {
    // Until it listens.
    for (int i = 0; i < 100; ++i) {
      const LoadResult first = load.Run(
          1, absl::ZeroDuration(), absl::Milliseconds(50), [] {}, [] {});
      if (first.failures == 0) break;
    }
  }
  const std::string mode;
  const std::string socket;
  const ServerProcess process;
  GrpcLoad load;
  std::map<int, Row> rows;
};

int Main(const std::string& self, double seconds, int rounds) {
  PinTo(CallerCore());
  LocalProcessLauncher launcher;
  const TempDir dir;
  Subject subjects[] = {{launcher, self, "door", dir},
                        {launcher, self, "grpc++-queue", dir},
                        {launcher, self, "grpc++-callback", dir}};
  const std::vector<int> all_callers = {1, 4, 32};
  for (int round = 0; round < rounds; ++round) {
    for (const int callers : all_callers) {
      for (Subject& subject : subjects) {
        double before = 0;
        double after = 0;
        const LoadResult result = subject.load.Run(
            callers, absl::Milliseconds(100), absl::Seconds(seconds),
            [&] { before = CpuMicros(subject.process.pid()); },
            [&] { after = CpuMicros(subject.process.pid()); });
        if (result.failures > 0 || result.calls == 0) {
          std::fprintf(stderr, "%s: %ld of %ld calls failed\n", subject.mode.c_str(),
                       static_cast<long>(result.failures), static_cast<long>(result.calls));
          return 1;
        }
        Row& row = subject.rows[callers];
        const double calls = static_cast<double>(result.calls);
        row.cpu_us.push_back((after - before) / calls);
        row.calls_a_second.push_back(calls / absl::ToDoubleSeconds(result.time));
        row.p50_us.push_back(result.p50_us);
        row.p99_us.push_back(result.p99_us);
      }
    }
  }
  std::printf("%-16s %8s %12s %14s %9s %9s\n", "server", "callers", "calls/s", "server CPU us",
              "p50 us", "p99 us");
  for (const Subject& subject : subjects) {
    for (const auto& [callers, row] : subject.rows) {
      std::printf("%-16s %8d %12.0f %14.1f %9.1f %9.1f\n", subject.mode.c_str(), callers,
                  Median(row.calls_a_second), Median(row.cpu_us), Median(row.p50_us),
                  Median(row.p99_us));
    }
  }
  for (const int callers : all_callers) {
    std::vector<double> ratios;
    for (int round = 0; round < rounds; ++round) {
      const auto cpu = [&](const Subject& subject) {
        return subject.rows.at(callers).cpu_us[static_cast<size_t>(round)];
      };
      ratios.push_back(cpu(subjects[0]) / std::min(cpu(subjects[1]), cpu(subjects[2])));
    }
    const double ratio = Median(ratios);
    std::printf(
        "%2d callers: the door's CPU time is %.2f of grpc++'s better one, target <= %.1f, %s\n",
        callers, ratio, kTarget, ratio <= kTarget ? "met" : "MISSED");
  }
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  const std::string mode = argc > 2 ? argv[1] : "";
  if (mode == "door") return slipway::RunDoor(argv[2]);
  if (mode == "grpc++-queue") return slipway::RunQueueServer(argv[2]);
  if (mode == "grpc++-callback") return slipway::RunCallbackServer(argv[2]);
  const double seconds = argc > 1 ? std::atof(argv[1]) : 1;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 7;
  return slipway::Main(std::filesystem::read_symlink("/proc/self/exe").string(), seconds, rounds);
}
