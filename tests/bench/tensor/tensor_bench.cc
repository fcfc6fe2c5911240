// What a tensor of 602 KB (a picture of 3 x 224 x 224 floats) costs on its way, through a model
// that does no work, beside what the way itself costs, in one run:
//
//   (a) a bare gRPC echo of the same bytes          (c) a bare relay before that echo: two hops
//   (b) the worker, with a model that gives its     (d) the gateway before that worker, with keys,
//       inputs back                                     usage rows and metrics
//
// The servers run on one core, the callers, who send and take bytes without reading them, on the
// other. What is compared runs in turns, and each figure is the median over the rounds.
//
//   tensor_bench [seconds a measurement, default 1] [rounds, default 5] [callers, default 1 8]

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "common/grpc/client.h"
#include "common/process/local_process_launcher.h"
#include "common/sync/mutex.h"
#include "common/time/clock.h"
#include "fmt/format.h"
#include "inference/open_inference.pb.h"
#include "tests/bench/bench.h"
#include "tests/bench/serving/gateway_under_test.h"
#include "tests/bench/serving/server_process.h"
#include "tests/bench/tensor/relay.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_trust.h"

namespace slipway {
namespace {

constexpr double kTargetWorker = 1.2;
constexpr double kTargetGateway = 1.25;
constexpr char kMethod[] = "/inference.GRPCInferenceService/ModelInfer";

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "tensor_bench: %s\n", what.c_str());
  std::exit(1);
}

grpc::ByteBuffer Request(const std::string& model) {
  inference::ModelInferRequest request;
  request.set_model_name(model);
  auto& input = *request.add_inputs();
  input.set_name("pixels");
  input.set_datatype("FP32");
  for (const int64_t dim : {1, 3, 224, 224}) input.add_shape(dim);
  request.add_raw_input_contents(std::string(3 * 224 * 224 * 4, 'p'));
  const grpc::Slice slice(request.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

// One server and how it is called.
struct Subject {
  const char* name;
  std::shared_ptr<grpc::Channel> channel;
  std::string model;
  std::map<std::string, std::string> metadata;
  std::vector<int64_t> pids;  // whose CPU time is counted
  std::map<int, std::vector<double>> cpu_us = {};
  std::map<int, std::vector<double>> wall_us = {};
};

// A closed loop of callers; bytes only.
class Load {
 public:
  explicit Load(const Subject& subject)
      : subject_(subject), stub_(subject.channel), request_(Request(subject.model)) {}

  // Returns how many calls ended within `time`.
  int64_t Run(int callers, absl::Duration time, const std::function<void()>& on_start,
              const std::function<void()>& on_end) {
    const Clock& clock = Clock::Real();
    {
      MutexLock lock(mutex_);
      running_ = callers;
    }
    for (int i = 0; i < callers; ++i) Start();
    clock.SleepFor(absl::Milliseconds(200));
    on_start();
    const int64_t before = calls_;
    clock.SleepFor(time);
    const int64_t after = calls_;
    on_end();
    stopping_ = true;
    MutexLock lock(mutex_);
    while (running_ > 0) ended_.Wait(mutex_);
    return after - before;
  }

 private:
  struct Call {
    grpc::ClientContext context;
    grpc::ByteBuffer answer;
  };

  void Start() {
    auto call = std::make_shared<Call>();
    for (const auto& [name, value] : subject_.metadata) call->context.AddMetadata(name, value);
    stub_.UnaryCall(&call->context, kMethod, grpc::StubOptions(), &request_, &call->answer,
                    [this, call](const grpc::Status& status) {
                      if (!status.ok())
                        Die(fmt::format("{}: {}", subject_.name, status.error_message()));
                      if (call->answer.Length() < 600'000) Die("an answer without its tensor");
                      ++calls_;
                      if (!stopping_) return Start();
                      MutexLock lock(mutex_);
                      --running_;
                      ended_.SignalAll();
                    });
  }

  const Subject& subject_;
  grpc::GenericStub stub_;
  const grpc::ByteBuffer request_;
  std::atomic<int64_t> calls_ = 0;
  std::atomic<bool> stopping_ = false;
  Mutex mutex_;
  CondVar ended_;
  int running_ GUARDED_BY(mutex_) = 0;
};

int Main(const std::string& self, double seconds, int rounds, const std::vector<int>& all_callers) {
  PinTo(CallerCore());
  const TempDir dir;
  std::filesystem::create_directory(dir.path() / "run");
  std::filesystem::permissions(dir.path() / "run", std::filesystem::perms::owner_all);
  const auto socket = [&](const char* name) { return "unix:" + (dir / "run/") + name; };
  const TestTrust trust;
  LocalProcessLauncher launcher;
  const ServerProcess echo(launcher, self, {"echo", socket("echo")});
  const ServerProcess relay(launcher, self, {"relay", socket("relay"), socket("echo")});
  const ServerProcess worker(launcher, self, {"worker", socket("worker"), trust.folder()});
  const GatewayUnderTest gateway(launcher, trust, socket("worker"), {"image"});

  Principal who;
  who.tenant = "acme";
  who.key_id = "k1";
  who.role = Role::kCaller;
  who.caller = ServiceId::kGateway;
  const auto inside = [&](const char* name) {
    auto channel = *OpenChannel({.address = socket(name)});
    if (!WaitForReady(*channel, absl::Seconds(20)).ok()) Die(std::string(name) + " does not start");
    return channel;
  };
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const auto public_door = grpc::CreateCustomChannel(fmt::format("127.0.0.1:{}", gateway.port()),
                                                     grpc::InsecureChannelCredentials(), arguments);
  const std::string deployment = "tenants/acme/deployments/image";
  Subject subjects[] = {
      {"(a) gRPC echo", inside("echo"), deployment, {}, {echo.pid()}},
      {"(b) worker, identity model",
       inside("worker"),
       deployment,
       {{kTokenMetadata, trust.Token(who, ServiceId::kWorker)}},
       {worker.pid()}},
      {"(c) relay and echo", inside("relay"), deployment, {}, {relay.pid(), echo.pid()}},
      {"(d) gateway and worker",
       public_door,
       "image",
       {{"x-api-key", gateway.key()}},
       {gateway.pid(), worker.pid()}},
  };
  const auto cpu_of = [](const std::vector<int64_t>& pids) {
    double micros = 0;
    for (const int64_t pid : pids) micros += CpuMicros(pid);
    return micros;
  };
  for (int round = 0; round < rounds; ++round) {
    for (const int callers : all_callers) {
      for (size_t i = 0; i < std::size(subjects); ++i) {
        // There and back, so that a drift of the machine favours nobody.
        Subject& subject = subjects[round % 2 == 0 ? i : std::size(subjects) - 1 - i];
        double before = 0;
        double after = 0;
        Load load(subject);
        const auto calls = static_cast<double>(load.Run(
            callers, absl::Seconds(seconds), [&] { before = cpu_of(subject.pids); },
            [&] { after = cpu_of(subject.pids); }));
        if (calls == 0) Die(std::string(subject.name) + " answers nothing");
        subject.cpu_us[callers].push_back((after - before) / calls);
        subject.wall_us[callers].push_back(seconds * 1e6 / calls);
      }
    }
  }
  std::printf("%-28s %8s %16s %16s\n", "602 KB there and back", "callers", "server CPU us",
              "wall us a call");
  for (const Subject& subject : subjects) {
    for (const int callers : all_callers) {
      std::printf("%-28s %8d %16.0f %16.0f\n", subject.name, callers,
                  Median(subject.cpu_us.at(callers)), Median(subject.wall_us.at(callers)));
    }
  }
  const auto compare = [&](const char* what, const Subject& ours, const Subject& floor,
                           double target) {
    for (const int callers : all_callers) {
      const auto ratio = [&](const auto& of_ours, const auto& of_floor) {
        std::vector<double> ratios;
        for (size_t i = 0; i < of_ours.size(); ++i) ratios.push_back(of_ours[i] / of_floor[i]);
        return Median(ratios);
      };
      const double wall = ratio(ours.wall_us.at(callers), floor.wall_us.at(callers));
      const double cpu = ratio(ours.cpu_us.at(callers), floor.cpu_us.at(callers));
      std::printf("%2d callers: %s: %.2f by wall clock, %.2f by CPU, target <= %.2f: %s\n", callers,
                  what, wall, cpu, target, wall <= target ? "met" : "MISSED");
    }
  };
  compare("(b) / (a)", subjects[1], subjects[0], kTargetWorker);
  compare("(d) / (c)", subjects[3], subjects[2], kTargetGateway);
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (argc == 3 && mode == "echo") return slipway::RunEcho(argv[2]);
  if (argc == 4 && mode == "relay") return slipway::RunRelay(argv[2], argv[3]);
  if (argc == 4 && mode == "worker") return slipway::RunIdentityWorker(argv[2], argv[3]);
  std::vector<int> callers;
  for (int i = 3; i < argc; ++i) callers.push_back(std::atoi(argv[i]));
  if (callers.empty()) callers = {1, 8};
  return slipway::Main(std::filesystem::read_symlink("/proc/self/exe").string(),
                       argc > 1 ? std::atof(argv[1]) : 1, argc > 2 ? std::atoi(argv[2]) : 5,
                       callers);
}
