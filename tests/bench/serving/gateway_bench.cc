// What large tensors cost the gateway, in front of a worker that does nothing:
//
//   150,528 float32 (a picture of 224 x 224 x 3) in JSON, some 1.5 MB, beside simdjson's own parse
//   of the same text; and the same tensor in binary, 602 KB. The answer is small.
//
// The gateway runs on one core, its callers on the other; what is counted is its CPU time. Rounds
// alternate between parse and calls; each figure is the median.
//
//   gateway_bench [seconds a measurement, default 1] [rounds, default 7]

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "common/process/local_process_launcher.h"
#include "fmt/format.h"
#include "simdjson.h"
#include "tests/bench/bench.h"
#include "tests/bench/serving/floor_server.h"
#include "tests/bench/serving/gateway_under_test.h"
#include "tests/bench/serving/load.h"
#include "tests/bench/serving/server_process.h"

namespace slipway {
namespace {

constexpr double kTarget = 3;
constexpr int kFloats = 150'528;
constexpr int kParses = 200;

// Eight digits each, as a picture's pixels after their scaling.
std::vector<float> Picture() {
  std::vector<float> values(kFloats);
  for (int i = 0; i < kFloats; ++i) {
    values[i] = static_cast<float>((i * 2654435761U) % 1'000'003) / 1'000'003.0F;
  }
  return values;
}

// CPU microseconds of one parse into simdjson's own document.
double ParseMicros(const std::string& text) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(text);
  const double before = CpuMicros(::getpid());
  for (int i = 0; i < kParses; ++i) {
    simdjson::dom::element document;
    if (parser.parse(padded).get(document) != simdjson::SUCCESS) std::exit(1);
  }
  return (CpuMicros(::getpid()) - before) / kParses;
}

struct Row {
  std::vector<double> cpu_us;
  std::vector<double> p50_us;

  void Measure(const GatewayUnderTest& gateway, const std::string& request, absl::Duration time) {
    double before = 0;
    double after = 0;
    const LoadResult result = RunHttpLoad(
        gateway.port(), request, 1, absl::Milliseconds(200), time,
        [&] { before = CpuMicros(gateway.pid()); }, [&] { after = CpuMicros(gateway.pid()); });
    if (result.failures > 0 || result.calls == 0) {
      std::fprintf(stderr, "gateway_bench: %s\n", HttpCallOnce(gateway.port(), request).c_str());
      std::exit(1);
    }
    cpu_us.push_back((after - before) / static_cast<double>(result.calls));
    p50_us.push_back(result.p50_us);
  }
};

int Main(const std::string& self, double seconds, int rounds) {
  if (!BeginBench("gateway_bench").ok()) return 1;
  PinTo(CallerCore());
  LocalProcessLauncher launcher;
  const TempDir dir;
  const TestTrust trust;
  const ServerProcess worker(launcher, self, {"empty-server", dir / "worker.sock"});
  const GatewayUnderTest gateway(launcher, trust, "unix:" + (dir / "worker.sock"), {"m"});

  const std::vector<float> picture = Picture();
  const std::string body = GatewayUnderTest::InferBody({1, kFloats}, picture);
  const std::string json = gateway.InferRequest("m", body);
  const std::string head =
      fmt::format(R"({{"inputs":[{{"name":"x","shape":[1,{}],"datatype":"FP32",)"
                  R"("parameters":{{"binary_data_size":{}}}}}]}})",
                  kFloats, kFloats * sizeof(float));
  const std::string binary = gateway.InferRequest(
      "m",
      head + std::string(reinterpret_cast<const char*>(picture.data()), kFloats * sizeof(float)),
      fmt::format("Inference-Header-Content-Length: {}\r\n", head.size()));

  std::vector<double> parse;
  Row in_json;
  Row in_binary;
  std::vector<double> ratios;
  for (int round = 0; round < rounds; ++round) {
    parse.push_back(ParseMicros(body));
    in_json.Measure(gateway, json, absl::Seconds(seconds));
    in_binary.Measure(gateway, binary, absl::Seconds(seconds));
    ratios.push_back(in_json.cpu_us.back() / parse.back());
  }
  std::printf("%-40s %12s %10s\n", "", "CPU us", "p50 us");
  std::printf("%-40s %12.0f\n", "simdjson's parse of 150,528 floats", Median(parse));
  std::printf("%-40s %12.0f %10.0f\n", "the gateway, the same in JSON", Median(in_json.cpu_us),
              Median(in_json.p50_us));
  std::printf("%-40s %12.0f %10.0f\n", "the gateway, the same in binary", Median(in_binary.cpu_us),
              Median(in_binary.p50_us));
  const double ratio = Median(ratios);
  std::printf("JSON through the gateway is %.2f of simdjson's parse, target <= %.1f, %s\n", ratio,
              kTarget, ratio <= kTarget ? "met" : "MISSED");
  return 0;
}

}  // namespace
}  // namespace slipway

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "empty-server") == 0) {
    return slipway::RunEmptyServer(argv[2]);
  }
  return slipway::Main(std::filesystem::read_symlink("/proc/self/exe").string(),
                       argc > 1 ? std::atof(argv[1]) : 1, argc > 2 ? std::atoi(argv[2]) : 7);
}
