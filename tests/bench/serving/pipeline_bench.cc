// A pipeline of two steps beside the two calls by hand: what a caller saves who has the worker hand
// the first model's answer to the second.
//
// By hand is the two calls' sum, each measured alone: nothing is counted of what the caller does
// between them. Closed loops at the worker over gRPC, on a Unix socket, in turns; the worker has
// one core, the callers the other. The pipeline's answer must be the hand-made one's, bit for bit.
//
//   pipeline_bench [seconds a measurement, default 1] [rounds, default 7] [callers, default 1 8]

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "tests/bench/bench.h"
#include "tests/bench/serving/load.h"
#include "tests/bench/serving/models.h"
#include "tests/bench/serving/server_process.h"
#include "tests/bench/serving/worker_calls.h"
#include "tests/support/serving/worker_process.h"

namespace slipway {
namespace {

constexpr absl::Duration kWarmUp = absl::Milliseconds(200);

struct Row {
  std::vector<double> cpu_us;
  std::vector<double> p50_us;
};

// One of the calls that are measured.
class Subject {
 public:
  Subject(const WorkerProcess& worker, inference::ModelInferRequest request,
          const std::string& token)
      : worker_(worker), request_(std::move(request)), load_(worker.address(), &request_, token) {}

  std::string Answer() { return load_.CallOnce().raw_output_contents(0); }

  void Measure(int callers, absl::Duration time) {
    double before = 0;
    double after = 0;
    const LoadResult result = load_.Run(
        callers, kWarmUp, time, [&] { before = CpuMicros(worker_.pid()); },
        [&] { after = CpuMicros(worker_.pid()); });
    if (result.failures > 0) {
      std::fprintf(stderr, "pipeline_bench: %ld calls failed\n",
                   static_cast<long>(result.failures));
      std::exit(1);
    }
    rows[callers].cpu_us.push_back((after - before) / static_cast<double>(result.calls));
    rows[callers].p50_us.push_back(result.p50_us);
  }

  std::map<int, Row> rows;

 private:
  const WorkerProcess& worker_;
  const inference::ModelInferRequest request_;
  GrpcLoad load_;
};

std::vector<double> Sum(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> sum;
  for (size_t i = 0; i < a.size(); ++i) sum.push_back(a[i] + b[i]);
  return sum;
}

// "first" of a network and its input's shape, "second" of ten numbers.
void Compare(const char* title, const TestArtifact& first, const std::vector<int64_t>& shape,
             double seconds, int rounds, const std::vector<int>& all_callers) {
  LocalProcessLauncher launcher;
  const TestTrust trust;
  WorkerProcess worker(
      launcher, trust,
      {.settings = {}, .wrapper = {"/usr/bin/taskset", "-c", std::to_string(kServerCore)}});
  const TestArtifact second =
      MakeTestArtifact(R"({"type": "mlp", "hidden": [32]})", "x", {10}, 10, 2);
  slipway::registry::v1::Pipeline definition;
  definition.add_inputs("x");
  for (const auto& [name, wire] :
       {std::pair("first", "inputs.x"), std::pair("second", "first.probabilities")}) {
    auto& step = *definition.add_steps();
    step.set_name(name);
    (*step.mutable_inputs())["x"] = wire;
  }
  (*definition.mutable_outputs())["probabilities"] = "second.probabilities";
  worker.Load("first", first);
  worker.Load("second", second);
  worker.LoadPipeline("both", definition, {{"first", first}, {"second", second}});

  const std::string token = GatewayToken(trust);
  std::vector<float> input;
  Subject by_first(worker, InferRequest("first", shape, input), token);
  std::vector<float> ignored;
  inference::ModelInferRequest then = InferRequest("second", {1, 10}, ignored);
  then.set_raw_input_contents(0, by_first.Answer());
  Subject by_second(worker, then, token);
  std::vector<float> again;
  Subject together(worker, InferRequest("both", shape, again), token);
  if (together.Answer() != by_second.Answer()) {
    std::fprintf(stderr, "pipeline_bench: the pipeline's answer differs\n");
    std::exit(1);
  }

  Subject* const subjects[] = {&by_first, &by_second, &together};
  for (int round = 0; round < rounds; ++round) {
    for (const int callers : all_callers) {
      for (size_t i = 0; i < std::size(subjects); ++i) {
        // There and back, so that a drift of the machine favours nobody.
        subjects[round % 2 == 0 ? i : std::size(subjects) - 1 - i]->Measure(callers,
                                                                            absl::Seconds(seconds));
      }
    }
  }
  for (const int callers : all_callers) {
    const Row& a = by_first.rows.at(callers);
    const Row& b = by_second.rows.at(callers);
    const Row& both = together.rows.at(callers);
    const std::vector<double> cpu = Sum(a.cpu_us, b.cpu_us);
    const std::vector<double> p50 = Sum(a.p50_us, b.p50_us);
    std::vector<double> cpu_ratios;
    std::vector<double> p50_ratios;
    for (size_t i = 0; i < cpu.size(); ++i) {
      cpu_ratios.push_back(both.cpu_us[i] / cpu[i]);
      p50_ratios.push_back(both.p50_us[i] / p50[i]);
    }
    std::printf("%-20s %8d %14.1f %14.1f %8.2f %12.1f %12.1f %8.2f\n", title, callers, Median(cpu),
                Median(both.cpu_us), Median(cpu_ratios), Median(p50), Median(both.p50_us),
                Median(p50_ratios));
  }
}

int Main(double seconds, int rounds, const std::vector<int>& callers) {
  if (!BeginBench("pipeline_bench").ok()) return 1;
  PinTo(CallerCore());
  std::printf("%-20s %8s %14s %14s %8s %12s %12s %8s\n", "first, then an MLP", "callers",
              "by hand CPU us", "pipeline CPU", "ratio", "by hand p50", "pipeline p50", "ratio");
  Compare("MLP", BenchMlp(), kMlpShape, seconds, rounds, callers);
  Compare("CNN 28x28", BenchCnn(), kCnnShape, seconds, rounds, callers);
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  std::vector<int> callers;
  for (int i = 3; i < argc; ++i) callers.push_back(std::atoi(argv[i]));
  if (callers.empty()) callers = {1, 8};
  return slipway::Main(argc > 1 ? std::atof(argv[1]) : 1, argc > 2 ? std::atoi(argv[2]) : 7,
                       callers);
}
