#ifndef SLIPWAY_TESTS_BENCH_SERVING_LOAD_H_
#define SLIPWAY_TESTS_BENCH_SERVING_LOAD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "inference/open_inference.grpc.pb.h"

namespace slipway {

/// What a closed loop of callers saw.
struct LoadResult {
  int64_t calls = 0;
  int64_t failures = 0;
  absl::Duration time;
  double p50_us = 0;
  double p99_us = 0;
};

/// What callers saw that call at random times, whether or not the last calls were answered.
struct OpenLoadResult {
  int64_t sent = 0;
  int64_t in_time = 0;  ///< answered before the deadline
  int64_t refused = 0;  ///< by the server: kUnavailable
  int64_t late = 0;     ///< everything else
  absl::Duration time;
  double p99_us = 0;  ///< of those in time
};

/// Calls the server again and again, each of `callers` as soon as its last call was answered, all
/// on one channel, as a gateway does. Not measured until `warm_up` is over; `on_start` and
/// `on_end` are called when measuring begins and ends.
class GrpcLoad {
 public:
  /// ModelInfer with this request and token, or, where `request` is null, ServerLive bare.
  GrpcLoad(const std::string& address, const inference::ModelInferRequest* request,
           std::string token);
  GrpcLoad(const std::shared_ptr<grpc::Channel>& channel,
           const inference::ModelInferRequest* request, std::string token);
  ~GrpcLoad();
  LoadResult Run(int callers, absl::Duration warm_up, absl::Duration time,
                 const std::function<void()>& on_start, const std::function<void()>& on_end);

  /// An open loop: `rate` calls a second, exponential pauses, each call with this deadline.
  OpenLoadResult RunOpen(double rate, absl::Duration deadline, absl::Duration warm_up,
                         absl::Duration time);

  /// One call's answer. Ends the program where it fails.
  inference::ModelInferResponse CallOnce();

 private:
  struct Caller;
  struct Shared;
  struct OpenCall;
  struct OpenShared;
  const inference::ModelInferRequest* const request_;
  const std::string token_;
  const std::unique_ptr<inference::GRPCInferenceService::Stub> stub_;
};

/// The same over HTTP/1.1, one kept-alive connection a caller: sends `request` (a whole request)
/// to 127.0.0.1:`port`, and takes every answer but 200 for a failure.
LoadResult RunHttpLoad(int port, const std::string& request, int callers, absl::Duration warm_up,
                       absl::Duration time, const std::function<void()>& on_start,
                       const std::function<void()>& on_end);

/// A stream of one request at random times.
struct HttpFlow {
  std::string request;
  double rate = 0;  ///< a second
};
/// What became of a flow, by answer: when it came (since the beginning) and what it took.
struct HttpFlowResult {
  struct Answer {
    absl::Duration at;
    absl::Duration took;
  };
  int64_t sent = 0;
  std::vector<Answer> answered;  ///< 200
  std::vector<Answer> refused;   ///< 503
  int64_t failed = 0;            ///< anything else
};
/// An open loop: all flows to 127.0.0.1:`port` for so long, with exponential pauses, over so many
/// kept-alive connections. A call that finds all of them busy waits for one, as part of its time.
std::vector<HttpFlowResult> RunHttpFlows(int port, const std::vector<HttpFlow>& flows,
                                         int connections, absl::Duration time);

/// Of what those answers took; 0 of none.
double QuantileMillis(const std::vector<HttpFlowResult::Answer>& answers, double quantile);

/// Sends one request and returns the whole answer, head and body; "" where the peer hangs up.
std::string HttpCallOnce(int port, const std::string& request);

}  // namespace slipway

#endif  // SLIPWAY_TESTS_BENCH_SERVING_LOAD_H_
